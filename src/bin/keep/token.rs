//! `keep token`.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tower_keep::{
    Cause, Issuer, Jwt, JwtBuilder, KeySet, PresentedToken, Principal, Rejection, RemoteKeys, Secret, TokenVerifier,
};

use crate::args::{Global, Token, Verify};
use crate::ask::secret;
use crate::failure::{Failure, with_causes};
use crate::moment::written;
use crate::output::{Output, note, pairs, visible};

pub(crate) async fn run(command: Token, global: &Global) -> Result<(), Failure> {
    let output = Output::new(global.json, global.human);
    match command {
        Token::Inspect(said) => inspect(&secret("token", &said).await?, output),
        Token::Verify(how) => {
            let token = secret("token", &how.nothing).await?;
            verify(&token, how, output, global.timeout).await
        }
    }
}

fn inspect(token: &Secret, output: Output) -> Result<(), Failure> {
    let Some((header, claims)) = parts(token.expose()) else {
        return Err(Failure::no(
            "that is no JWT: three segments of base64url with dots between them, the first two of them JSON",
        ));
    };
    let json = json!({ "verified": false, "header": header, "claims": claims });
    output.result(&json, || {
        let [header, claims] = [&header, &claims].map(indented);
        format!("UNVERIFIED: anybody may have written this\n\nheader {header}\n\nclaims {claims}\n")
    })
}

fn parts(token: &str) -> Option<(Value, Value)> {
    let segments: Vec<_> = token.split('.').collect();
    let [header, claims, _] = segments.as_slice() else { return None };
    let read = |segment: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).ok()?).ok();
    Some((read(header)?, read(claims)?))
}

fn indented(value: &Value) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

async fn verify(token: &Secret, how: Verify, output: Output, patience: Duration) -> Result<(), Failure> {
    let jwt = verifier(how)?;
    // Whose fault it is that there are no keys is told better here than by the token.
    match tokio::time::timeout(patience, jwt.ready().into_future()).await {
        Ok(ready) => ready?,
        Err(_) => return Err(Failure::Unreachable("the issuer did not answer in time".to_owned())),
    }
    let verdict = match PresentedToken::from_text(token.expose()) {
        Ok(token) => jwt.verify(&token).await,
        Err(rejection) => Err(rejection),
    };
    match verdict {
        Ok(principal) => good(&principal, token, output),
        Err(rejection) if matches!(rejection.cause(), Cause::Unavailable | Cause::Misconfigured) => {
            Err(rejection.into())
        }
        Err(rejection) => bad(&rejection, output),
    }
}

fn verifier(how: Verify) -> Result<Jwt, Failure> {
    let builder = match (how.jwks, &how.issuer) {
        (Some(place), _) if place.contains("://") => {
            let keys = RemoteKeys::new(place);
            let keys = if how.insecure_allow_loopback { keys.insecure_allow_loopback() } else { keys };
            Jwt::with_remote_keys(keys)
        }
        (Some(path), _) => Jwt::with_keys(KeySet::from_file(Path::new(&path))?),
        (None, Some(url)) => {
            let issuer = Issuer::discover(url);
            Jwt::discover(if how.insecure_allow_loopback { issuer.insecure_allow_loopback() } else { issuer })
        }
        (None, None) => return Err(Failure::Usage("--issuer or --jwks has to say whose tokens are good".to_owned())),
    };
    let builder = match how.issuer {
        Some(issuer) => builder.issuer(issuer),
        None => {
            note("the issuer of the token is not looked at, since no --issuer was given");
            builder.dangerous_any_issuer()
        }
    };
    let builder = how.audience.into_iter().fold(builder.leeway(how.leeway), JwtBuilder::audience);
    let builder = if how.accept_typ_jwt { builder.accept_typ_jwt() } else { builder };
    let builder = if how.accept_no_typ { builder.accept_no_typ() } else { builder };
    Ok(builder.build()?)
}

fn good(principal: &Principal, token: &Secret, output: Output) -> Result<(), Failure> {
    let claims = parts(token.expose()).map(|(_, claims)| claims);
    let json = json!({
        "good": true,
        "subject": principal.subject(),
        "issuer": principal.issuer(),
        "scopes": principal.scopes().iter().collect::<Vec<_>>(),
        "expires_at": principal.expires_at().map(written),
        "claims": claims,
    });
    output.result(&json, || {
        pairs(&[
            ("good", "yes".to_owned()),
            ("subject", principal.subject().to_owned()),
            ("issuer", principal.issuer().unwrap_or_default().to_owned()),
            ("scopes", principal.scopes().as_str().to_owned()),
            ("expires", principal.expires_at().map(written).unwrap_or_default()),
        ])
    })
}

fn bad(rejection: &Rejection, output: Output) -> Result<(), Failure> {
    let reason = rejection.reason();
    output.result(&json!({ "good": false, "reason": reason }), || {
        pairs(&[("good", "no".to_owned()), ("why", with_causes(rejection))])
    })?;
    Err(Failure::No(None))
}
