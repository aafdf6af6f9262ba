"""Calls the quickstart server with requests, and once with the standard library: https.py URL CERT_FILE KEY TOKEN"""

import ssl
import sys
import urllib.request
import warnings

import requests

TIMEOUT = 10
url, cert_file, key, token = sys.argv[1:]
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


class Bearer(requests.auth.AuthBase):
    """The way that requests has for tokens."""

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {token}"
        return request


def with_token(method, path, **headers):
    return requests.request(method, url + path, verify=cert_file, auth=Bearer(), headers=headers, timeout=TIMEOUT)


me = "you are alice <alice@example.com>, and may: orders:read\n"
row("a token", me, with_token("GET", "/token/me").text)
row("a scope that the token has", 200, with_token("GET", "/token/orders").status_code)
lacking = with_token("POST", "/token/orders")
row("a scope that the token lacks", (403, "insufficient_scope"), (lacking.status_code, lacking.json().get("error")))
row("no token: what is asked for", 'Bearer realm="api"', get("/token/me").headers.get("www-authenticate"))
forged = get("/token/me", Authorization=f"Bearer {token[:-4]}AAAA")
row("a token with another signature", (401, "invalid_token"), (forged.status_code, forged.json().get("error")))
row("key or token: the key", "you are alice, by api-key\n", get("/either", apikey=key).text)
row("key or token: the token", "you are alice, by bearer\n", with_token("GET", "/either").text)
row("key or token: both", 400, with_token("GET", "/either", apikey=key).status_code)
row("key or token: neither", 401, get("/either").status_code)

# The default since Python 3.13; older versions have to ask for it.
strict = ssl.create_default_context(cafile=cert_file)
strict.verify_flags |= ssl.VERIFY_X509_STRICT
with urllib.request.urlopen(url + "/", context=strict, timeout=TIMEOUT) as answer:
    row("trusting the CA file, as strict as RFC 5280", 200, answer.status)

sys.exit(1 if failures else 0)
