"""Calls the quickstart server with requests, and once with the standard library: https.py URL CERT_FILE KEY"""

import ssl
import sys
import urllib.request
import warnings

import requests

TIMEOUT = 10
url, cert_file, key = sys.argv[1:]
failures = 0


def row(name, expected, actual):
    global failures
    ok = expected == actual
    failures += not ok
    print("ok   " if ok else "FAIL ", name, repr(expected), repr(actual), sep="  ")


def get(path, verify=cert_file, **headers):
    with warnings.catch_warnings():
        # A request that looks at no certificate is what is tried here.
        warnings.simplefilter("ignore")
        return requests.get(url + path, verify=verify, headers=headers, timeout=TIMEOUT)


def refused(**how):
    try:
        return get("/", **how).status_code
    except requests.exceptions.SSLError:
        return "SSLError"


row("without a look at the certificate", 200, get("/me", verify=False, apikey=key).status_code)
row("trusting the CA file", 200, get("/me", apikey=key).status_code)
row("trusting the usual CAs only", "SSLError", refused(verify=True))
row("the key in apikey", "you are alice, and may: orders:read\n", get("/me", apikey=key).text)
row("the key as a token", "you are alice, and may: orders:read\n", get("/me", Authorization=f"Bearer {key}").text)
row("a scope that the key has", 200, get("/orders", apikey=key).status_code)

lacking = requests.post(url + "/orders", verify=cert_file, headers={"apikey": key}, timeout=TIMEOUT)
row("a scope that it lacks", (403, "insufficient_scope"), (lacking.status_code, lacking.json().get("error")))

nobody = get("/me")
row("no key", (401, "application/problem+json"), (nobody.status_code, nobody.headers.get("content-type")))
row("no key: what is asked for", 'ApiKey realm="api", Bearer realm="api"', nobody.headers.get("www-authenticate"))
wrong = get("/me", apikey=key[:-1] + ("1" if key.endswith("0") else "0"))
row("a wrong key", (401, "invalid_token"), (wrong.status_code, wrong.json().get("error")))

# The default since Python 3.13; older versions have to ask for it.
strict = ssl.create_default_context(cafile=cert_file)
strict.verify_flags |= ssl.VERIFY_X509_STRICT
with urllib.request.urlopen(url + "/", context=strict, timeout=TIMEOUT) as answer:
    row("trusting the CA file, as strict as RFC 5280", 200, answer.status)

sys.exit(1 if failures else 0)
