//! A gRPC server over TLS: one service is guarded, the health service beside it is open. `cargo run --example grpc`
//! prints a key and what to send with it.

mod calls;
mod check;
#[path = "../common/mod.rs"]
mod common;
mod greetings;
// Made by scripts/generate-grpc.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code has a style of its own")]
mod hello;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::server::{TcpConnectInfo, TcpIncoming, TlsConnectInfo};
use tonic::transport::{Identity, ServerTlsConfig};
use tower::Layer;
use tower_keep::{ApiKey, ApiKeyLayer, MemoryStore, Need, NewKey, RequireHttps, RequireScopes};

use common::{About, Certificates, Options, Result};
use greetings::Greetings;
use hello::greeter_server::GreeterServer;

/// How long calls that are on their way may take when the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

const ABOUT: About = About {
    name: "grpc",
    text: "A gRPC server with a service that is guarded by API keys.",
    port: 50051,
    plain_port: None,
};

#[tokio::main]
async fn main() -> ExitCode {
    common::run(ABOUT, async |options| match options.check {
        true => check::run(&options).await,
        false => serve(&options).await,
    })
    .await
}

/// A server that runs.
struct Server {
    address: SocketAddr,
    ca_file: PathBuf,
    keys: MemoryStore,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Server {
    async fn start(options: &Options) -> Result<Self> {
        let (listener, address) = options.listen()?;
        let certificates = Certificates::new(ABOUT.name, address.ip())?;
        certificates.write_ca(&options.cert_file)?;
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificates.server, certificates.key));

        let keys = MemoryStore::with_prefix("tk_demo")?;
        let layer = ApiKeyLayer::over(ApiKey::new(keys.clone()).bearer());
        // A method that is not listed is refused.
        let scopes = RequireScopes::by_method([
            ("/hello.v1.Greeter/SayHello", Need::all(["greeter:hello"])),
            ("/hello.v1.Greeter/SayGoodbye", Need::all(["greeter:goodbye"])),
        ]);
        scopes.check()?;
        let greeter = layer.layer(scopes.layer(GreeterServer::new(Greetings)));

        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_serving::<GreeterServer<Greetings>>().await;

        let (stop, stopped) = oneshot::channel();
        let incoming = TcpIncoming::from(TcpListener::from_std(listener)?).with_nodelay(Some(true));
        let https = RequireHttps::new().tls_marker::<TlsConnectInfo<TcpConnectInfo>>();
        let mut server = tonic::transport::Server::builder().tls_config(tls)?.layer(https);
        let server = server.add_service(health).add_service(greeter);
        let running = tokio::spawn(server.serve_with_incoming_shutdown(incoming, async {
            // A sender that is gone stops the server as well.
            let _ = stopped.await;
        }));
        Ok(Self { address, ca_file: options.cert_file.clone(), keys, stop, running })
    }

    async fn stop(self) -> Result<()> {
        // If nobody listens, it has stopped already.
        let _ = self.stop.send(());
        let Ok(ended) = tokio::time::timeout(GRACE, self.running).await else { return Ok(()) };
        Ok(ended??)
    }
}

async fn serve(options: &Options) -> Result<ExitCode> {
    let interrupted = common::interrupted()?;
    let mut server = Server::start(options).await?;
    let issued = server.keys.issue(NewKey::for_owner("alice").scopes(["greeter:hello"]))?;
    println!("listening on https://{}", server.address);
    println!("cert file: {}", server.ca_file.display());
    println!("key: {}", issued.key().expose());
    println!("{}", to_paste(&server, issued.key().expose()));
    tokio::select! {
        () = interrupted => server.stop().await?,
        ended = &mut server.running => ended??,
    }
    Ok(ExitCode::SUCCESS)
}

fn to_paste(server: &Server, key: &str) -> String {
    let Server { address, ca_file, .. } = server;
    let ca_file = ca_file.display();
    let grpcurl = format!("grpcurl -cacert {ca_file} -import-path examples/grpc/proto -proto hello.proto");
    format!(
        "
Try it from another terminal; Ctrl-C ends the server.

# hello: the key as metadata, or as a token
{grpcurl} -H 'x-api-key: {key}' -d '{{\"name\": \"world\"}}' {address} hello.v1.Greeter/SayHello
{grpcurl} -H 'authorization: Bearer {key}' -d '{{\"name\": \"world\"}}' {address} hello.v1.Greeter/SayHello
# Unauthenticated: no key
{grpcurl} {address} hello.v1.Greeter/SayHello
# PermissionDenied: the key does not have the scope greeter:goodbye
{grpcurl} -H 'x-api-key: {key}' {address} hello.v1.Greeter/SayGoodbye
# the same with curl, which sends an empty message: `grpc-status: 16` is Unauthenticated, 7 is PermissionDenied
printf '\\0\\0\\0\\0\\0' | curl -i --cacert {ca_file} -H 'content-type: application/grpc' -H 'te: trailers' \\
  --data-binary @- https://{address}/hello.v1.Greeter/SayHello"
    )
}
