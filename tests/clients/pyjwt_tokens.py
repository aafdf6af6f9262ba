"""Makes access tokens with PyJWT, one for each algorithm, and prints them with their keys as JSON."""

import json
import secrets
import sys
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
signers = {
    "HS256": (HMACAlgorithm, secrets.token_bytes(32)),
    "HS384": (HMACAlgorithm, secrets.token_bytes(48)),
    "HS512": (HMACAlgorithm, secrets.token_bytes(64)),
    "RS256": (RSAAlgorithm, rsa_key),
    "RS384": (RSAAlgorithm, rsa_key),
    "RS512": (RSAAlgorithm, rsa_key),
    "PS256": (RSAAlgorithm, rsa_key),
    "PS384": (RSAAlgorithm, rsa_key),
    "PS512": (RSAAlgorithm, rsa_key),
    "ES256": (ECAlgorithm, ec.generate_private_key(ec.SECP256R1())),
    "ES384": (ECAlgorithm, ec.generate_private_key(ec.SECP384R1())),
    "ES512": (ECAlgorithm, ec.generate_private_key(ec.SECP521R1())),
    "EdDSA": (OKPAlgorithm, ed25519.Ed25519PrivateKey.generate()),
}

now = int(time.time())
claims = {
    "iss": "https://login.example.com",
    "aud": ["https://other.example.com", "https://api.example.com"],
    "sub": "älice",
    "iat": now,
    "exp": now + 600,
    "scope": "orders:read",
}

made = []
for name, (algorithm, key) in signers.items():
    public = key if isinstance(key, bytes) else key.public_key()
    jwk = algorithm.to_jwk(public, as_dict=True) | {"kid": name, "alg": name}
    token = jwt.encode(claims, key, algorithm=name, headers={"kid": name, "typ": "at+jwt"})
    made.append({"algorithm": name, "jwk": jwk, "token": token})
json.dump(made, sys.stdout)
