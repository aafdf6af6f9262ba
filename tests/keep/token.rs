//! Tokens, of an issuer that runs beside the test.

use serde_json::json;
use tower_keep::testing::TestIssuer;

use crate::support::{Done, Place, keep, run};

/// Runs `keep` apart from the thread that the issuer runs on.
async fn verify(args: &[&str], token: String) -> Done {
    let mut command = keep(&[&["token", "verify", "--insecure-allow-loopback"], args].concat());
    tokio::task::spawn_blocking(move || run(&mut command, &token)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_verified_by_its_issuer() {
    let issuer = TestIssuer::new();
    let server = issuer.serve().await.unwrap();
    let (url, audience) = (issuer.url(), issuer.audience());
    let args = ["--issuer", &url, "--audience", &audience];

    let good = verify(&args, issuer.token("ada").sign()).await.ok().json();
    assert_eq!((&good["good"], &good["subject"]), (&json!(true), &json!("ada")));

    let expired = verify(&args, issuer.token("ada").claim("exp", 1_000_000_000).sign()).await.is(1).json();
    assert_eq!(expired["good"], false);
    verify(&["--issuer", &url, "--audience", "https://other.example.com"], issuer.token("ada").sign()).await.is(1);
    verify(&args, issuer.token("ada").forged().sign()).await.is(1);
    verify(&args, "no token".to_owned()).await.is(1);

    let place = Place::sqlite();
    let keys = place.write("jwks.json", &issuer.keys().to_string());
    let by_file = ["--jwks", &keys, "--audience", &audience];
    verify(&by_file, issuer.token("ada").sign()).await.ok().says("not looked at");
    verify(&[&by_file[..], &["--issuer", "https://other.example.com"]].concat(), issuer.token("ada").sign())
        .await
        .is(1);
    let keys = issuer.keys_url();
    verify(&["--jwks", &keys, "--issuer", &url, "--audience", &audience], issuer.token("ada").sign()).await.ok();

    server.stop().await;
    verify(&args, issuer.token("ada").sign()).await.is(3);
    verify(&["--jwks", "/no/such/file", "--audience", "a"], issuer.token("ada").sign()).await.is(4);
    verify(&["--audience", "a"], issuer.token("ada").sign()).await.is(2);
    verify(&["--issuer", &url], issuer.token("ada").sign()).await.is(2);
}

#[test]
fn a_token_that_is_inspected_is_said_to_be_unverified() {
    let token = TestIssuer::new().token("ada").forged().sign();

    let json = run(&mut keep(&["token", "inspect"]), &token).ok().json();
    let human = run(&mut keep(&["token", "inspect", "--human"]), &token).ok().out;

    assert_eq!((&json["verified"], &json["claims"]["sub"]), (&json!(false), &json!("ada")));
    assert!(json["header"]["alg"].is_string());
    assert!(human.starts_with("UNVERIFIED"), "{human}");
    run(&mut keep(&["token", "inspect"]), "no.token").is(1);
}
