//! Metadata of protected resources (RFC 9728), and the catalogue of scopes that it lists.

use axum::Router;
use axum::routing::get as route;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_keep::{
    Algorithm, Answer, ApiKey, ApiKeyLayer, BearerLayer, ConfigError, PresentedToken, Principal, ProtectedResource,
    Rejection, RequireScopes, ResourceMetadata, ScopeCatalogue, Scopes, TokenForm, TokenVerifier,
};

use crate::support::{Inner, as_grpc, get, send, store, values, with};
use crate::tokens::mint::{ISSUER, Signer, claims_with};

const MCP: &str = "https://api.example.com/mcp";
const MCP_METADATA: &str = "https://api.example.com/.well-known/oauth-protected-resource/mcp";

fn catalogue() -> ScopeCatalogue {
    let scopes = ScopeCatalogue::new(["orders:write", "orders:read", "admin"]).unwrap();
    // The order in which they are told does not matter.
    scopes.implies("admin", ["orders:write"]).unwrap().implies("orders:write", ["orders:read"]).unwrap()
}

fn signer() -> Signer {
    Signer::new(Algorithm::EdDSA)
}

/// A layer over tokens for the resource, and what belongs to it.
fn protect(signer: &Signer, resource: &ProtectedResource) -> Result<(BearerLayer, ResourceMetadata), ConfigError> {
    BearerLayer::new(signer.verifier().audience(resource.identifier()).build().unwrap()).protect(resource)
}

fn resource(identifier: &str) -> ProtectedResource {
    ProtectedResource::new(identifier).unwrap()
}

async fn ask(service: &ResourceMetadata, method: Method, path: &str) -> (Response<Full<bytes::Bytes>>, String) {
    let request = Request::builder().method(method).uri(path).header("host", "evil.example").body(()).unwrap();
    let response = service.clone().oneshot(request).await.unwrap();
    let body = response.body().clone().collect().await.unwrap().to_bytes();
    (response, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_metadata_says_what_the_layer_does() {
    let resource = resource(MCP)
        .scopes(&catalogue())
        .name("Orders, \"all\" of them")
        .documentation("https://docs.example.com/orders#start")
        .unwrap();
    let (_, metadata) = protect(&signer(), &resource).unwrap();

    let (response, body) = ask(&metadata, Method::GET, metadata.path()).await;

    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(values(response.headers(), "content-type"), ["application/json"]);
    let expected = json!({
        "resource": MCP,
        "resource_name": "Orders, \"all\" of them",
        "authorization_servers": [ISSUER],
        "scopes_supported": ["admin", "orders:read", "orders:write"],
        "bearer_methods_supported": ["header"],
        "resource_documentation": "https://docs.example.com/orders#start",
    });
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    assert_eq!(metadata.document(), body);
}

#[tokio::test]
async fn what_is_not_there_is_left_out() {
    let (_, metadata) = protect(&signer(), &resource("https://api.example.com")).unwrap();

    let (_, body) = ask(&metadata, Method::GET, metadata.path()).await;

    let expected = json!({
        "resource": "https://api.example.com",
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
    });
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
}

#[tokio::test]
async fn the_path_of_the_resource_comes_behind_the_well_known_one() {
    let cases = [
        ("https://api.example.com", "/.well-known/oauth-protected-resource"),
        ("https://api.example.com/", "/.well-known/oauth-protected-resource"),
        ("https://api.example.com/mcp", "/.well-known/oauth-protected-resource/mcp"),
        ("https://api.example.com/mcp/", "/.well-known/oauth-protected-resource/mcp/"),
        ("https://api.example.com:8443/a/b%20c", "/.well-known/oauth-protected-resource/a/b%20c"),
        ("https://[2001:db8::1]/a", "/.well-known/oauth-protected-resource/a"),
    ];
    for (identifier, path) in cases {
        let (_, metadata) = protect(&signer(), &resource(identifier)).unwrap();
        assert_eq!(metadata.path(), path, "{identifier}");
        let origin = identifier.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        assert_eq!(metadata.url(), format!("{origin}{path}"), "{identifier}");
    }
}

#[tokio::test]
async fn it_is_there_to_be_read_by_every_page_and_for_nothing_else() {
    let (_, metadata) = protect(&signer(), &resource(MCP)).unwrap();
    let path = metadata.path();
    let cases = [
        (Method::GET, path, 200),
        (Method::HEAD, path, 200),
        (Method::OPTIONS, path, 204),
        (Method::POST, path, 405),
        (Method::PUT, path, 405),
        (Method::DELETE, path, 405),
        (Method::GET, "/.well-known/oauth-protected-resource", 404),
        (Method::GET, "/.well-known/oauth-protected-resource/mcp/", 404),
        (Method::GET, "/.well-known/oauth-protected-resource/mcp/other", 404),
        (Method::GET, "/.well-known/oauth-protected-resource/MCP", 404),
        (Method::GET, "/", 404),
    ];
    for (method, path, expected) in cases {
        let (response, body) = ask(&metadata, method.clone(), path).await;
        assert_eq!(response.status(), expected, "{method} {path}");
        assert_eq!(body.is_empty(), expected != 200, "{method} {path}");
        let origin = values(response.headers(), "access-control-allow-origin");
        assert_eq!(origin.is_empty(), expected == 404, "{method} {path}");
        let allow = values(response.headers(), "allow");
        assert_eq!(!allow.is_empty(), matches!(expected, 204 | 405), "{method} {path}");
    }
    let (preflight, _) = ask(&metadata, Method::OPTIONS, path).await;
    assert_eq!(values(preflight.headers(), "access-control-allow-methods"), ["GET, HEAD"]);
    assert_eq!(values(preflight.headers(), "access-control-allow-headers"), ["*"]);
    assert!(ask(&metadata, Method::GET, &format!("{path}?x=1")).await.0.status().is_success());
}

#[tokio::test]
async fn every_challenge_names_the_metadata_over_http_and_grpc() {
    let signer = signer();
    let (guard, metadata) = protect(&signer, &resource(MCP).scopes(&catalogue())).unwrap();
    assert_eq!(metadata.url(), MCP_METADATA);
    let scopes = RequireScopes::all(["orders:read", "orders:write"]).in_catalogue(&catalogue()).unwrap();
    let service = guard.layer(scopes.layer(Inner::new()));
    let token = |changes: Value| format!("Bearer {}", signer.token(&claims_with(changes)));
    let base = format!(r#"Bearer realm="api", resource_metadata="{MCP_METADATA}""#);
    let lacking = token(json!({ "aud": MCP, "scope": "orders:read" }));
    let expired = token(json!({ "aud": MCP, "exp": 1 }));
    let cases = [
        ("", 401, 16, base.clone()),
        ("Bearer junk", 401, 16, format!(r#"{base}, error="invalid_token""#)),
        (&expired, 401, 16, format!(r#"{base}, error="invalid_token""#)),
        ("Bearer a b", 400, 16, format!(r#"{base}, error="invalid_request""#)),
        (&lacking, 403, 7, format!(r#"{base}, error="insufficient_scope", scope="orders:read orders:write""#)),
    ];
    for (credential, status, code, challenge) in cases {
        let credential = |request| match credential {
            "" => request,
            value => with(request, "authorization", value),
        };
        let http = service.clone().oneshot(credential(get("/mcp"))).await.unwrap();
        let grpc = service.clone().oneshot(credential(as_grpc(get("/a.B/C")))).await.unwrap();

        assert_eq!(http.status(), status, "{challenge}");
        assert_eq!(values(http.headers(), "www-authenticate"), [challenge.as_str()]);
        assert_eq!(values(grpc.headers(), "grpc-status"), [code.to_string()], "{challenge}");
        assert_eq!(values(grpc.headers(), "www-authenticate"), [challenge.as_str()]);
    }
    let good = with(get("/"), "authorization", &token(json!({ "aud": MCP, "scope": "admin" })));
    assert_eq!(service.oneshot(good).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_layer_may_say_which_scopes_to_ask_for_and_a_lack_of_others_comes_first() {
    let signer = signer();
    let resource = resource(MCP).scopes(&catalogue()).asks_for(["orders:write", "orders:read"]).unwrap();
    let (guard, _) = protect(&signer, &resource).unwrap();
    let base = format!(r#"Bearer realm="api", resource_metadata="{MCP_METADATA}""#);

    let (missing, _) = send(guard.clone(), get("/")).await;
    assert_eq!(values(missing.headers(), "www-authenticate"), [format!(r#"{base}, scope="orders:read orders:write""#)]);

    let token = format!("Bearer {}", signer.token(&claims_with(json!({ "aud": MCP }))));
    let service = guard.layer(RequireScopes::all(["admin"]).layer(Inner::new()));
    let lacking = service.oneshot(with(get("/"), "authorization", &token)).await.unwrap();
    let expected = format!(r#"{base}, error="insufficient_scope", scope="admin""#);
    assert_eq!(values(lacking.headers(), "www-authenticate"), [expected]);
}

#[tokio::test]
async fn a_refusal_of_a_handler_never_asks_for_offline_access() {
    let needed = Scopes::new(["offline_access", "orders:read"]).unwrap();
    assert_eq!(Rejection::insufficient_scope(needed).needed_scopes().as_str(), "orders:read");
}

#[tokio::test]
async fn beside_api_keys_that_come_as_bearer_the_challenge_names_the_metadata_too() {
    let (guard, _) = protect(&signer(), &resource(MCP)).unwrap();
    let keys = ApiKeyLayer::over(ApiKey::new(store().0).bearer());

    let (response, _) = send(keys.or(guard), get("/")).await;

    let bearer = format!(r#"Bearer realm="api", resource_metadata="{MCP_METADATA}""#);
    assert_eq!(values(response.headers(), "www-authenticate"), [r#"ApiKey realm="api""#, &bearer]);
}

#[tokio::test]
async fn axum_serves_it_outside_of_the_guard() {
    let (guard, metadata) = protect(&signer(), &resource(MCP)).unwrap();
    let guarded = Router::new().route("/mcp", route(async || "hello")).layer(guard);
    let as_route = guarded.clone().route_service(metadata.path(), metadata.clone());
    let routes = Router::new().route("/mcp", route(async || "hello"));
    let as_fallback = routes.fallback_service(metadata.clone());
    let ask = async |app: &Router, method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path).body(axum::body::Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        (status, response.into_body().collect().await.unwrap().to_bytes())
    };

    assert_eq!(ask(&as_route, Method::GET, metadata.path()).await, (200, metadata.document()));
    assert_eq!(ask(&as_route, Method::OPTIONS, metadata.path()).await.0, 204);
    assert_eq!(ask(&as_route, Method::GET, "/mcp").await.0, 401);
    assert_eq!(ask(&guarded, Method::GET, metadata.path()).await.0, 401);
    assert_eq!(ask(&as_fallback, Method::GET, metadata.path()).await, (200, metadata.document()));
    assert_eq!(ask(&as_fallback, Method::GET, "/nowhere").await.0, 404);
}

#[test]
fn an_identifier_is_what_clients_write() {
    let good =
        ["https://a.example", "https://a.example:8443/b/c-d_e~f", "https://a.example/%7Eme", "https://192.0.2.1/"];
    let loopback = ["http://localhost:3000/mcp", "http://127.0.0.1/mcp", "http://[::1]:80/mcp", "http://127.8.8.8:1/"];
    let bad = [
        "",
        "/mcp",
        "api.example.com/mcp",
        "http://api.example.com/mcp",
        "http://localhost.example.com/mcp",
        "HTTPS://api.example.com/mcp",
        "https://API.example.com/mcp",
        "https://api.example.com:443/mcp",
        "https://api.example.com:/mcp",
        "https://user@api.example.com/mcp",
        "https://api.example.com/mcp?x=1",
        "https://api.example.com?x",
        "https://api.example.com/mcp#tools",
        "https://api.example.com/a/../mcp",
        "https://api.example.com/./mcp",
        "https://api.example.com//mcp",
        "https://api.example.com/m cp",
        "https://api.example.com/m\"cp",
        "https://api.example.com/m\\cp",
        "https://api.example.com/m\r\nx: y",
        "https://api.example.com/\u{e4}",
        "https://\u{e4}.example.com/",
        "https://",
        "https:///mcp",
        "urn:example:mcp",
    ];
    for identifier in good {
        assert!(ProtectedResource::new(identifier).is_ok(), "{identifier}");
        assert!(ProtectedResource::insecure_on_loopback(identifier).is_ok(), "{identifier}");
    }
    for identifier in loopback {
        let wrong = ConfigError::ResourceUrl { given: identifier.to_owned() };
        assert_eq!(ProtectedResource::new(identifier).unwrap_err(), wrong);
        let local = ProtectedResource::insecure_on_loopback(identifier);
        assert_eq!(local.is_ok(), !identifier.contains(":80/"), "{identifier}");
    }
    for identifier in bad {
        let wrong = ConfigError::ResourceUrl { given: identifier.to_owned() };
        assert_eq!(ProtectedResource::new(identifier).unwrap_err(), wrong);
        assert_eq!(ProtectedResource::insecure_on_loopback(identifier).unwrap_err(), wrong);
    }
}

/// A verifier that says whatever a test wants of its issuers.
struct Told(Vec<&'static str>);

impl TokenVerifier for Told {
    fn verify(&self, _: &PresentedToken) -> Answer<Result<Principal, Rejection>> {
        Answer::Now(Err(Rejection::invalid("for_a_test")))
    }

    fn form(&self) -> TokenForm {
        TokenForm::Any
    }

    fn issuers(&self) -> Vec<String> {
        self.0.iter().map(|issuer| (*issuer).to_owned()).collect()
    }
}

#[test]
fn issuers_are_https_urls_and_one_at_least_is_named() {
    let protect = |issuers: &[&'static str], resource: &ProtectedResource| {
        BearerLayer::new(Told(issuers.to_vec())).protect(resource).map(|(_, metadata)| {
            let metadata: Value = serde_json::from_slice(&metadata.document()).unwrap();
            metadata["authorization_servers"].clone()
        })
    };
    let url = |given: &str| Err(ConfigError::EndpointUrl { given: given.to_owned() });
    let not_https = |given: &str| Err(ConfigError::EndpointNotHttps { given: given.to_owned() });
    let local = ProtectedResource::insecure_on_loopback("http://127.0.0.1:3000/").unwrap();

    assert_eq!(protect(&[], &resource(MCP)), Err(ConfigError::AuthorizationServersMissing));
    let two = ["https://b.example/tenant", "https://a.example"];
    assert_eq!(protect(&two, &resource(MCP)), Ok(json!(two)));
    assert_eq!(protect(&["joe"], &resource(MCP)), url("joe"));
    assert_eq!(protect(&["https://a.example/?x"], &resource(MCP)), url("https://a.example/?x"));
    assert_eq!(protect(&["http://localhost:1"], &resource(MCP)), not_https("http://localhost:1"));
    assert_eq!(protect(&["http://localhost:1"], &local), Ok(json!(["http://localhost:1"])));
    let named = resource(MCP).authorization_servers(["https://c.example"]).unwrap();
    assert_eq!(protect(&["joe"], &named), Ok(json!(["https://c.example"])));
    assert_eq!(resource(MCP).authorization_servers(["c"]).unwrap_err(), url("c").unwrap_err());
    assert_eq!(resource(MCP).documentation("docs").unwrap_err(), url("docs").unwrap_err());
}

#[test]
fn the_resource_is_an_audience_of_the_verifier_unless_that_is_said_otherwise() {
    let tokens = || signer().verifier().build().unwrap();
    let differs = ConfigError::ResourceAudience { resource: MCP.to_owned() };

    assert_eq!(BearerLayer::new(tokens()).protect(&resource(MCP)).unwrap_err(), differs);
    assert!(BearerLayer::new(tokens()).protect(&resource(MCP).audience_may_differ()).is_ok());
    let any = signer().verifier().dangerous_any_audience().build().unwrap();
    assert!(BearerLayer::new(any).protect(&resource(MCP)).is_ok());
    let any = signer().verifier().audience(MCP).dangerous_any_issuer().build().unwrap();
    assert_eq!(BearerLayer::new(any).protect(&resource(MCP)).unwrap_err(), ConfigError::AuthorizationServersMissing);
}

#[test]
fn scopes_that_are_not_listed_are_found_at_build() {
    let unlisted = |given: &str| ConfigError::ScopeUnlisted { given: given.to_owned() };
    let reserved = ConfigError::ScopeReserved { given: "offline_access".to_owned() };
    let catalogue = catalogue();

    let asks = resource(MCP).scopes(&catalogue).asks_for(["orders:read", "order:read"]).unwrap();
    assert_eq!(protect(&signer(), &asks).unwrap_err(), unlisted("order:read"));
    assert_eq!(resource(MCP).asks_for(["offline_access"]).unwrap_err(), reserved);
    assert_eq!(ScopeCatalogue::new(["offline_access", "a"]).unwrap_err(), reserved);
    assert_eq!(RequireScopes::all(["offline_access"]).check().unwrap_err(), reserved);
    assert_eq!(ScopeCatalogue::new([""; 0]).unwrap_err(), ConfigError::ScopesEmpty);
    assert_eq!(catalogue.clone().implies("nobody", ["admin"]).unwrap_err(), unlisted("nobody"));
    assert_eq!(catalogue.clone().implies("admin", ["nobody"]).unwrap_err(), unlisted("nobody"));
    for wrong in [RequireScopes::all(["admin", "root"]), RequireScopes::any(["root"])] {
        assert_eq!(wrong.in_catalogue(&catalogue).unwrap_err(), unlisted("root"));
    }
    let methods = RequireScopes::by_method([
        ("/a.B/Open", tower_keep::Need::principal()),
        ("/a.B/Closed", tower_keep::Need::any(["root"])),
    ]);
    assert_eq!(methods.in_catalogue(&catalogue).unwrap_err(), unlisted("root"));
    assert_eq!(RequireScopes::all([""; 0]).in_catalogue(&catalogue).unwrap_err(), ConfigError::ScopesEmpty);
}

#[test]
fn scopes_stand_for_those_that_they_imply_through_others_and_in_circles() {
    let circle = ScopeCatalogue::new(["a", "b", "c", "d"]).unwrap();
    let circle = circle.implies("a", ["b"]).unwrap().implies("b", ["c"]).unwrap().implies("c", ["a"]).unwrap();
    let cases = [
        (catalogue(), "admin", vec!["admin", "orders:read", "orders:write"]),
        (catalogue(), "orders:write", vec!["orders:read", "orders:write"]),
        (catalogue(), "orders:read", vec!["orders:read"]),
        (catalogue(), "unlisted", vec![]),
        (circle.clone(), "a", vec!["a", "b", "c"]),
        (circle.clone(), "b", vec!["a", "b", "c"]),
        (circle.clone(), "d", vec!["d"]),
    ];
    for (catalogue, held, expected) in cases {
        let scopes = Scopes::new([held]).unwrap();
        let granted: Vec<_> = catalogue.scopes().iter().map(str::to_owned).collect();
        let granted: Vec<_> = granted.into_iter().filter(|needed| catalogue.grants(&scopes, needed)).collect();
        assert_eq!(granted, expected, "{held}");
    }
    assert!(!catalogue().grants(&Scopes::none(), "admin"));
}
