//! What `--check` asks the running server, over TLS, and what it has to answer.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, VARY, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, StatusCode, Version};
use reqwest::{Certificate, Client, ClientBuilder, RequestBuilder};
use tower_keep::{MemoryStore, NewKey, Secret};

use super::Server;
use super::common::{Options, Result, Table, failure};

const API_KEY: &str = "x-api-key";
const SUPERSEDED: HeaderName = HeaderName::from_static("api-key-superseded");
const HOUR: Duration = Duration::from_secs(60 * 60);
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let server = Server::start(options).await?;
    println!("checking {}\n", server.url);
    let mut check = Check::new(&server)?;
    check.trust().await?;
    check.places().await;
    check.bad_keys().await?;
    check.scopes().await?;
    check.optional().await;
    check.rotation().await?;
    check.caches().await;
    let verdict = check.table.finish();
    server.stop().await?;
    // Nobody has a use for the certificate any more.
    std::fs::remove_file(&options.cert_file)?;
    Ok(verdict)
}

struct Check<'a> {
    server: &'a Server,
    client: Client,
    /// A key of alice that has `orders:read`.
    key: Secret,
    table: Table,
}

impl<'a> Check<'a> {
    fn new(server: &'a Server) -> Result<Self> {
        let client = trusting(server)?.build()?;
        let issued = server.keys.issue(NewKey::for_owner("alice").scopes(["orders:read"]))?;
        Ok(Self { server, client, key: issued.key().clone(), table: Table::default() })
    }

    async fn trust(&mut self) -> Result<()> {
        let url = format!("{}/", self.server.url);
        let ask = async |client: ClientBuilder| answer(client.build()?.get(&url)).await;
        let trusting_all = client().tls_danger_accept_invalid_certs(true);

        let trusting_ca = ask(trusting(self.server)?).await;
        let http1 = ask(trusting(self.server)?.http1_only()).await;
        let nothing_special = ask(client()).await;
        let all = ask(trusting_all).await;

        let spoken = |answer: &Asked| match answer {
            Ok(answer) => format!("{} {:?} {}", answer.status.as_u16(), answer.version, answer.body.trim()),
            Err(_) => seen(answer, &[]),
        };
        self.table.row("open route, trusting the CA file", "200 HTTP/2.0 welcome", spoken(&trusting_ca));
        self.table.row("open route over HTTP/1.1", "200 HTTP/1.1 welcome", spoken(&http1));
        self.table.row("client that trusts the usual CAs only", "certificate refused", spoken(&nothing_special));
        self.table.row("client that trusts every certificate", "200 HTTP/2.0 welcome", spoken(&all));
        Ok(())
    }

    async fn places(&mut self) {
        let alice = "200 you are alice, and may: orders:read";
        let key = self.key.expose().to_owned();
        let places = [
            (API_KEY, key.clone(), "the key in x-api-key"),
            ("apikey", key.clone(), "the key in apikey"),
            ("authorization", format!("ApiKey {key}"), "the key in Authorization: ApiKey"),
            ("authorization", format!("Bearer {key}"), "the key in Authorization: Bearer"),
        ];
        for (field, value, name) in &places {
            let answer = self.get("/me", &[(*field, value)]).await;
            self.table.row(name, alice, with_body(&answer));
        }
        for (field, value, name) in &places {
            let answer = self.get("/headers", &[(*field, value)]).await;
            let actual = match &answer {
                Ok(answer) if answer.body.lines().any(|name| name == *field) => "the handler sees it".to_owned(),
                Ok(answer) if answer.status == StatusCode::OK => "the handler does not see it".to_owned(),
                _ => seen(&answer, &[]),
            };
            self.table.row(name, "the handler does not see it", actual);
        }
        let key = key.as_str();
        let bearer = &places[3].1;
        let twice: [(&str, &[(&str, &str)]); 3] = [
            ("two keys in two fields", &[(API_KEY, key), ("apikey", key)]),
            ("two keys in one field", &[(API_KEY, key), (API_KEY, key)]),
            ("one key in a field, one as a token", &[(API_KEY, key), ("authorization", bearer)]),
        ];
        for (name, fields) in twice {
            let answer = self.get("/me", fields).await;
            self.table.row(name, "400 invalid_request", with_error(&answer));
        }
    }

    async fn bad_keys(&mut self) -> Result<()> {
        let none = self.get("/me", &[]).await;
        let challenges = r#"401 ApiKey realm="api" | Bearer realm="api""#;
        self.table.row("no key", challenges, seen(&none, &[WWW_AUTHENTICATE]));

        let rules = self.server.keys.rules();
        let unknown = rules.format().generate()?;
        let unknown = self.get("/me", &[(API_KEY, unknown.expose())]).await;
        self.table.row("unknown key", "401 invalid_token", with_error(&unknown));
        self.table.row(
            "unknown key: the answer is a problem",
            "401 application/problem+json | no-store",
            seen(&unknown, &[CONTENT_TYPE, CACHE_CONTROL]),
        );
        let problem = "401 Unauthorized: the credential is not valid (invalid_token)";
        self.table.row("unknown key: what the problem says", problem, as_problem(&unknown));
        let token = format!("Bearer {}", rules.format().generate()?.expose());
        let token = self.get("/me", &[("authorization", &token)]).await;
        let challenges = r#"401 ApiKey realm="api" | Bearer realm="api", error="invalid_token""#;
        self.table.row("unknown key as a token", challenges, seen(&token, &[WWW_AUTHENTICATE]));

        let (wrong_secret, _) = rules.reissue(&rules.format().parse(self.key.expose())?)?;
        let revoked = self.server.keys.issue(NewKey::for_owner("bob"))?;
        self.server.keys.revoke(revoked.id())?;
        let bad = [
            ("expired key", expired(&self.server.keys)?),
            ("revoked key", revoked.key().clone()),
            ("key with another secret", wrong_secret),
            ("key with a wrong checksum", mistyped(&self.key)),
            ("text that is no key", Secret::new("open-sesame".to_owned())),
        ];
        for (name, key) in bad {
            let answer = self.get("/me", &[(API_KEY, key.expose())]).await;
            let actual = match (&answer, &unknown) {
                (Ok(answer), Ok(unknown)) if answer.reads_like(unknown) => "as for an unknown key".to_owned(),
                _ => with_error(&answer),
            };
            self.table.row(name, "as for an unknown key", actual);
        }
        Ok(())
    }

    async fn scopes(&mut self) -> Result<()> {
        let both = self.server.keys.issue(NewKey::for_owner("carol").scopes(["orders:read", "orders:write"]))?;
        let orders = format!("{}/orders", self.server.url);

        let read = self.get("/orders", &[(API_KEY, self.key.expose())]).await;
        let write = answer(self.client.post(&orders).header(API_KEY, self.key.expose())).await;
        let write_allowed = answer(self.client.post(&orders).header(API_KEY, both.key().expose())).await;
        let no_key = answer(self.client.post(&orders)).await;

        self.table.row("a scope that the key has", "200 the orders of alice", with_body(&read));
        self.table.row("a scope that it lacks", "403 insufficient_scope orders:write", with_error(&write));
        self.table.row("the same with a key that has it", "201 an order of carol", with_body(&write_allowed));
        self.table.row("a scope without a key", "401 no error code", with_error(&no_key));
        Ok(())
    }

    async fn optional(&mut self) {
        let nobody = self.get("/maybe", &[]).await;
        let alice = self.get("/maybe", &[(API_KEY, self.key.expose())]).await;
        let bad = self.get("/maybe", &[(API_KEY, mistyped(&self.key).expose())]).await;

        self.table.row("optional route, no key", "200 hello, stranger", with_body(&nobody));
        self.table.row("optional route, a key", "200 hello, alice", with_body(&alice));
        self.table.row("optional route, a bad key", "401 invalid_token", with_error(&bad));
    }

    async fn rotation(&mut self) -> Result<()> {
        let keys = self.server.keys.clone();
        let first = keys.issue(NewKey::for_owner("dave"))?;
        let second = keys.rotate(first.id(), HOUR)?;
        let until = second.record().superseded().first().map(|old| old.until()).ok_or("nothing was superseded")?;
        let until = until.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();

        let old = self.get("/me", &[(API_KEY, first.key().expose())]).await;
        let new = self.get("/me", &[(API_KEY, second.key().expose())]).await;
        keys.revoke(first.id())?;
        let old_revoked = self.get("/me", &[(API_KEY, first.key().expose())]).await;
        let new_revoked = self.get("/me", &[(API_KEY, second.key().expose())]).await;

        self.table.row("rotated, the old key in its grace period", &format!("200 @{until}"), seen(&old, &[SUPERSEDED]));
        self.table.row("rotated, the new key", "200 -", seen(&new, &[SUPERSEDED]));
        self.table.row("revoked a moment ago, the old key", "401 invalid_token", with_error(&old_revoked));
        self.table.row("revoked a moment ago, the new key", "401 invalid_token", with_error(&new_revoked));

        let first = keys.issue(NewKey::for_owner("erin"))?;
        keys.rotate(first.id(), Duration::ZERO)?;
        let old = self.get("/me", &[(API_KEY, first.key().expose())]).await;
        self.table.row("rotated without a grace period, the old key", "401 invalid_token", with_error(&old));
        Ok(())
    }

    async fn caches(&mut self) {
        let key = self.key.expose();
        let fields = [CACHE_CONTROL, VARY];
        let by_x_api_key = self.get("/me", &[(API_KEY, key)]).await;
        let by_apikey = self.get("/me", &[("apikey", key)]).await;
        let by_token = self.get("/me", &[(AUTHORIZATION.as_str(), &format!("Bearer {key}"))]).await;
        let open = self.get("/", &[]).await;
        let missing = self.get("/nowhere", &[]).await;

        self.table.row("caches, the key in x-api-key", "200 private | x-api-key", seen(&by_x_api_key, &fields));
        self.table.row("caches, the key in apikey", "200 private | apikey", seen(&by_apikey, &fields));
        self.table.row("caches, the key in Authorization", "200 - | -", seen(&by_token, &fields));
        self.table.row("caches, open route", "200 - | -", seen(&open, &fields));
        self.table.row("a path that is not there, no key", "404", seen(&missing, &[]));
    }

    async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Asked {
        let request = self.client.get(format!("{}{path}", self.server.url));
        answer(fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }
}

fn client() -> ClientBuilder {
    // The server is on this machine, whatever proxy the environment names.
    Client::builder().timeout(PATIENCE).no_proxy()
}

fn trusting(server: &Server) -> Result<ClientBuilder> {
    let ca = Certificate::from_pem(&std::fs::read(&server.ca_file)?)?;
    Ok(client().tls_certs_only([ca]))
}

/// Makes a key that ended a moment ago. Nobody issues such a key, so its record is put into the store by hand.
fn expired(keys: &MemoryStore) -> Result<Secret> {
    let issued = keys.rules().issue(NewKey::for_owner("frank"))?;
    let ended = SystemTime::now() - Duration::from_secs(2);
    keys.insert((**issued.record()).clone().with_created_at(ended - HOUR).with_expires_at(ended))?;
    Ok(issued.key().clone())
}

/// Changes the last character, which belongs to the checksum.
fn mistyped(key: &Secret) -> Secret {
    let mut text = key.expose().to_owned();
    let last = text.pop();
    text.push(if last == Some('0') { '1' } else { '0' });
    Secret::new(text)
}

/// What came back.
struct Answer {
    status: StatusCode,
    version: Version,
    headers: HeaderMap,
    body: String,
}

type Asked = Result<Answer>;

async fn answer(request: RequestBuilder) -> Asked {
    let response = request.send().await?;
    let (status, version, headers) = (response.status(), response.version(), response.headers().clone());
    Ok(Answer { status, version, headers, body: response.text().await? })
}

impl Answer {
    /// Returns whether nobody could tell this answer from another one.
    fn reads_like(&self, other: &Self) -> bool {
        let but_for_date = |answer: &Self| {
            let mut headers = answer.headers.clone();
            headers.remove("date");
            headers
        };
        self.status == other.status && self.body == other.body && but_for_date(self) == but_for_date(other)
    }

    /// Returns the values of a header field.
    fn field(&self, name: &HeaderName) -> String {
        let values: Vec<_> =
            self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        if values.is_empty() { "-".to_owned() } else { values.join(" | ") }
    }

    /// Returns a parameter of the challenges.
    fn param(&self, name: &str) -> Option<String> {
        let challenges = self.field(&WWW_AUTHENTICATE);
        let (_, rest) = challenges.split_once(&format!("{name}=\""))?;
        rest.split('"').next().map(str::to_owned)
    }
}

/// Writes the status and some header fields.
fn seen(asked: &Asked, fields: &[HeaderName]) -> String {
    match asked {
        Ok(answer) => {
            let fields: Vec<_> = fields.iter().map(|name| answer.field(name)).collect();
            format!("{} {}", answer.status.as_u16(), fields.join(" | ")).trim_end().to_owned()
        }
        Err(error) => failure(&**error),
    }
}

/// Writes the status and the body.
fn with_body(asked: &Asked) -> String {
    match asked {
        Ok(answer) => format!("{} {}", answer.status.as_u16(), answer.body.trim()),
        Err(error) => failure(&**error),
    }
}

/// Writes what a body of `application/problem+json` says.
fn as_problem(asked: &Asked) -> String {
    let problem = asked.as_ref().ok().and_then(|answer| serde_json::from_str::<serde_json::Value>(&answer.body).ok());
    let Some(problem) = problem else { return with_body(asked) };
    let text = |member: &str| problem[member].as_str().unwrap_or("-");
    format!("{} {}: {} ({})", problem["status"], text("title"), text("detail"), text("error"))
}

/// Writes the status, and the error code and the scopes of the challenge.
fn with_error(asked: &Asked) -> String {
    match asked {
        Ok(answer) => {
            let error = answer.param("error").unwrap_or("no error code".to_owned());
            format!("{} {error} {}", answer.status.as_u16(), answer.param("scope").unwrap_or_default())
                .trim_end()
                .to_owned()
        }
        Err(error) => failure(&**error),
    }
}
