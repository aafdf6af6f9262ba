//! The service behind the guard.

use tonic::{Request, Response, Status};
use tower_keep::Principal;

use super::hello::greeter_server::Greeter;
use super::hello::{GoodbyeReply, GoodbyeRequest, HelloReply, HelloRequest};

/// Greets the caller.
pub(crate) struct Greetings;

#[tonic::async_trait]
impl Greeter for Greetings {
    async fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let subject = Principal::of(request.extensions())?.subject().to_owned();
        Ok(Response::new(HelloReply { message: format!("hello, {}", request.into_inner().name), subject }))
    }

    async fn say_goodbye(&self, request: Request<GoodbyeRequest>) -> Result<Response<GoodbyeReply>, Status> {
        Ok(Response::new(GoodbyeReply { message: format!("goodbye, {}", request.into_inner().name) }))
    }
}
