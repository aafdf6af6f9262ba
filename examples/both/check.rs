//! What `--check` asks the running server in both protocols, over TLS, and what it has to answer.

use std::process::ExitCode;

use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderName, StatusCode};
use reqwest::{Client, ClientBuilder};
use serde_json::json;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tonic::{Response, Status};
use tower_keep::{Denial, NewKey, Secret};

use super::Server;
use super::answer::{Asked, answer, as_problem, client, seen, trusting, with_body, with_error};
use super::calls::{endpoint, goodbye, greeting, hello, leave, refusal};
use super::common::{Options, Result, Table};
use super::hello::HelloReply;

/// A header field, or a piece of metadata.
type Field<'a> = (&'static str, &'a str);

const API_KEY: &str = "x-api-key";
const AUTHORIZATION: &str = "authorization";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const SAY_HELLO: &str = "/hello.v1.Greeter/SayHello";

pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let server = Server::start(options).await?;
    println!("checking https://{}\n", server.https.address);
    let mut check = Check::new(&server).await?;
    check.protocols().await?;
    check.admitted().await;
    check.refused().await?;
    check.scopes().await?;
    check.revoked().await?;
    check.wire().await;
    let Check { table, client, channel, .. } = check;
    // The server waits for connections that are open.
    drop((client, channel));
    let verdict = table.finish();
    server.https.stop().await?;
    // Nobody has a use for the certificate any more.
    std::fs::remove_file(&options.cert_file)?;
    Ok(verdict)
}

struct Check<'a> {
    server: &'a Server,
    client: Client,
    channel: Channel,
    /// A key of alice that has `greeter:hello`.
    key: Secret,
    /// A token of bob that has `greeter:hello`, as it stands in `Authorization`.
    token: String,
    table: Table,
}

impl<'a> Check<'a> {
    async fn new(server: &'a Server) -> Result<Self> {
        let client = trusting(&server.https.ca_file)?.build()?;
        let ca = Certificate::from_pem(std::fs::read(&server.https.ca_file)?);
        let channel = endpoint(server.https.address, ClientTlsConfig::new().ca_certificate(ca))?.connect().await?;
        let issued = server.keys.issue(NewKey::for_owner("alice").scopes(["greeter:hello"]))?;
        let token = server.issuer.access_token(&json!({ "sub": "bob", "scope": "greeter:hello" }))?;
        let (key, token) = (issued.key().clone(), format!("Bearer {token}"));
        Ok(Self { server, client, channel, key, token, table: Table::default() })
    }

    async fn protocols(&mut self) -> Result<()> {
        let url = format!("https://{}/", self.server.https.address);
        let ask = async |client: ClientBuilder| answer(client.build()?.get(&url)).await;

        let chosen = ask(trusting(&self.server.https.ca_file)?).await;
        let http1 = ask(trusting(&self.server.https.ca_file)?.http1_only()).await;
        let distrusting = ask(client()).await;

        let spoken = |answer: &Asked| match answer {
            Ok(answer) => format!("{:?} {} {}", answer.version, answer.status.as_u16(), answer.body.trim()),
            Err(_) => seen(answer, &[]),
        };
        self.table.row("open route, the protocol that TLS chooses", "HTTP/2.0 200 welcome", spoken(&chosen));
        self.table.row("open route over HTTP/1.1", "HTTP/1.1 200 welcome", spoken(&http1));
        self.table.row("client that trusts the usual CAs only", "certificate refused", spoken(&distrusting));
        Ok(())
    }

    async fn admitted(&mut self) {
        let key = self.key.expose();
        let key_as_bearer = format!("Bearer {key}");
        let (alice, bob) = (
            "200 you are alice, by api-key, and may: greeter:hello",
            "200 you are bob, by bearer, and may: greeter:hello",
        );
        let credentials = [
            ("the key", (API_KEY, key), alice, "hello, world (alice)"),
            ("the key as Bearer", (AUTHORIZATION, key_as_bearer.as_str()), alice, "hello, world (alice)"),
            ("the token", (AUTHORIZATION, self.token.as_str()), bob, "hello, world (bob)"),
        ];
        for (name, field, me, greeted) in credentials {
            let http = self.get("/me", &[field]).await;
            let grpc = self.hello(&[field]).await;
            self.table.row(&format!("HTTP, {name}"), me, with_body(&http));
            self.table.row(&format!("gRPC, {name}"), greeted, greeting(&grpc));
        }
    }

    async fn refused(&mut self) -> Result<()> {
        let (key, token) = (self.key.expose(), self.token.as_str());
        let forged = format!("{token}x");
        let none = r#"ApiKey realm="api" | Bearer realm="api""#;
        let bad_key = r#"ApiKey realm="api", error="invalid_token" | Bearer realm="api""#;
        let bad_token = r#"ApiKey realm="api" | Bearer realm="api", error="invalid_token""#;
        let refused: [(&str, &[Field<'_>], &str); 4] = [
            ("no credential", &[], none),
            ("a bad key", &[(API_KEY, "tk_demo_nonsense")], bad_key),
            ("a bad token", &[(AUTHORIZATION, &forged)], bad_token),
            ("a text of neither form", &[(AUTHORIZATION, "Bearer open-sesame")], bad_token),
        ];
        for (name, fields, challenges) in refused {
            let http = self.get("/me", fields).await;
            let grpc = self.hello(fields).await;
            let expected = format!("401 application/problem+json | {challenges}");
            self.table.row(&format!("HTTP, {name}"), &expected, seen(&http, &[CONTENT_TYPE, WWW_AUTHENTICATE]));
            self.table.row(&format!("gRPC, {name}"), &format!("Unauthenticated {challenges}"), refusal(&grpc));
        }
        let two = [(API_KEY, key), (AUTHORIZATION, token)];
        let http = self.get("/me", &two).await;
        let grpc = self.hello(&two).await;
        self.table.row("HTTP, key and token", "400 invalid_request", with_error(&http));
        self.table.row("gRPC, key and token", "Unauthenticated", greeting(&grpc));

        let expired = format!("Bearer {}", self.server.issuer.access_token(&json!({ "exp": 1 }))?);
        let expired = self.get("/me", &[(AUTHORIZATION, &expired)]).await;
        let forged = self.get("/me", &[(AUTHORIZATION, &forged)]).await;
        let actual = match (&expired, &forged) {
            (Ok(expired), Ok(forged)) if expired.reads_like(forged) => "as for a bad token".to_owned(),
            _ => with_error(&expired),
        };
        self.table.row("HTTP, an expired token", "as for a bad token", actual);
        Ok(())
    }

    async fn scopes(&mut self) -> Result<()> {
        let both = "greeter:hello greeter:goodbye";
        let key = self.server.keys.issue(NewKey::for_owner("carol").scopes(both))?;
        let token = format!("Bearer {}", self.server.issuer.access_token(&json!({ "sub": "carol", "scope": both }))?);
        let key = key.key().expose();

        let credentials = [
            ("a key", (API_KEY, self.key.expose()), (API_KEY, key)),
            ("a token", (AUTHORIZATION, self.token.as_str()), (AUTHORIZATION, token.as_str())),
        ];
        for (name, lacking, holding) in credentials {
            let http_lacking = self.get("/goodbye", &[lacking]).await;
            let http_holding = self.get("/goodbye", &[holding]).await;
            let grpc_lacking = goodbye(&self.channel, &[lacking]).await;
            let grpc_holding = goodbye(&self.channel, &[holding]).await;

            let insufficient = "403 insufficient_scope greeter:goodbye";
            let table = &mut self.table;
            table.row(&format!("HTTP, {name} that has one scope"), insufficient, with_error(&http_lacking));
            table.row(&format!("gRPC, {name} that has one scope"), "PermissionDenied", leave(&grpc_lacking));
            table.row(&format!("HTTP, {name} that has both scopes"), "200 goodbye, carol", with_body(&http_holding));
            table.row(&format!("gRPC, {name} that has both scopes"), "goodbye, world", leave(&grpc_holding));
        }
        Ok(())
    }

    async fn revoked(&mut self) -> Result<()> {
        let key = self.server.keys.issue(NewKey::for_owner("dave").scopes(["greeter:hello"]))?;
        let claims = json!({ "sub": "dave", "scope": "greeter:hello", "jti": "dave-1" });
        let token = format!("Bearer {}", self.server.issuer.access_token(&claims)?);
        let by_key = [(API_KEY, key.key().expose())];
        let by_token = [(AUTHORIZATION, token.as_str())];

        let before = [self.hello(&by_key).await, self.hello(&by_token).await];
        self.server.keys.revoke(key.id())?;
        self.server.denied.deny(Denial::token("dave-1"));
        let after = [self.hello(&by_key).await, self.hello(&by_token).await];
        let after_http = [self.get("/me", &by_key).await, self.get("/me", &by_token).await];

        for (index, name) in ["a key", "a token"].into_iter().enumerate() {
            let greeted = "hello, world (dave)";
            self.table.row(&format!("gRPC, {name} that is about to end"), greeted, greeting(&before[index]));
            self.table.row(
                &format!("gRPC, {name} that ended a moment ago"),
                "Unauthenticated",
                greeting(&after[index]),
            );
            let http = with_error(&after_http[index]);
            self.table.row(&format!("HTTP, {name} that ended a moment ago"), "401 invalid_token", http);
        }
        Ok(())
    }

    /// Looks at what tells the protocols apart: the type of the content, and nothing else.
    async fn wire(&mut self) {
        let url = format!("https://{}{SAY_HELLO}", self.server.https.address);
        let post = |kind: &'static str| self.client.post(&url).header(CONTENT_TYPE, kind).body(vec![0; 5]);

        let grpc = answer(post("application/grpc")).await;
        let http = answer(post("application/json")).await;
        let missing = self.get("/nowhere", &[]).await;

        let fields = [CONTENT_TYPE, GRPC_STATUS];
        let said = |asked: &Asked| match asked {
            Ok(answer) if answer.status == StatusCode::OK && answer.body.is_empty() => seen(asked, &fields),
            _ => as_problem(asked),
        };
        self.table.row("the path of a method, as gRPC", "200 application/grpc | 16", said(&grpc));
        let problem = "401 Unauthorized: a credential is required (-)";
        self.table.row("the path of a method, as HTTP", problem, said(&http));
        self.table.row("a path that is not there", "404 - | -", seen(&missing, &fields));
    }

    async fn get(&self, path: &str, fields: &[Field<'_>]) -> Asked {
        let request = self.client.get(format!("https://{}{path}", self.server.https.address));
        answer(fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    async fn hello(&self, metadata: &[Field<'_>]) -> Result<Response<HelloReply>, Status> {
        hello(&self.channel, metadata).await
    }
}
