//! The local API: what the agency's own programs and people ask of their node, over its Unix socket.
//!
//! Whoever can open the socket speaks for the agency. JSON goes in and out unless a route says otherwise; what is not done is
//! told as a [`problem`]. Every release, read and export passes the policy gate.
//!
//! A file for each subject gives its routes; a new one is one line in [`subjects`]. Each handler describes itself
//! (`#[utoipa::path]`), and the description of the whole is served at `/api/v1/openapi.json`.

mod body;
mod bulk;
mod events;
mod keys;
pub(crate) mod openapi;
mod parcels;
mod passing_on;
mod permit;
mod policy;
pub(crate) mod problem;
mod records;
pub(crate) mod register;
mod retention;
#[cfg(test)]
mod retention_tests;
mod status;
#[cfg(test)]
mod tests;
mod upkeep;
mod views;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::{Extension, Router};
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;

use self::problem::Problem;
use crate::desk::Caller;
use crate::node::Node;

/// The routes of a running node for whoever can open its socket, which is the operator.
pub(crate) fn local_routes(node: &Arc<Node>) -> Router {
    routes(node).layer(Extension(Caller::operator()))
}

/// Every route with its description. A new file of routes is one line here.
fn subjects() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new()
        .merge(status::routes())
        .merge(records::routes())
        .merge(passing_on::routes())
        .merge(retention::routes())
        .merge(views::routes())
        .merge(register::routes())
        .merge(keys::routes())
        .merge(upkeep::routes())
        .merge(events::routes())
        .merge(parcels::routes())
        .merge(policy::routes())
}

/// The routes of a running node. Whoever serves them says who the caller is.
fn routes(node: &Arc<Node>) -> Router {
    let (routes, operations) = openapi::described(subjects().with_state(Arc::clone(node)));
    // What is layered before the operation is named, such as the gate, finds the name among the request's extensions.
    routes
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn_with_state(Arc::clone(node), permit::permit))
        .layer(from_fn_with_state(operations, openapi::name_operation))
        .layer(DefaultBodyLimit::max(node.config.limits.api_body_bytes_max))
        .layer(from_fn_with_state(Arc::clone(node), count))
}

async fn no_such_route() -> Problem {
    Problem::not_found()
}

async fn no_such_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "this path is asked in another way")
}

async fn count(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    node.metrics.api_request(response.status());
    response
}
