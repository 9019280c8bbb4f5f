//! The local API: what the agency's own programs and people ask of their node, over its Unix socket.
//!
//! Whoever can open the socket speaks for the agency. JSON goes in and out unless a route says otherwise; what is not done is
//! told as a [`problem`]. Every release, read and export passes the policy gate.
//!
//! A file for each subject gives its routes; a new one is one line in [`subjects`]. Each handler describes itself
//! (`#[utoipa::path]`), and the description of the whole is served at `/api/v1/openapi.json`.

mod body;
mod bulk;
mod cursor;
mod drafts;
mod events;
mod keys;
mod matching;
mod matching_bodies;
#[cfg(test)]
mod matrix;
mod measure;
mod officers;
mod once;
pub(crate) mod openapi;
mod parcels;
mod passing_on;
mod permit;
mod policy;
pub(crate) mod problem;
mod records;
pub(crate) mod register;
mod replay;
mod requests;
mod retention;
#[cfg(test)]
mod retention_tests;
pub(crate) mod search;
mod searches;
mod session;
mod status;
mod tags;
#[cfg(test)]
mod tests;
mod upkeep;
mod uses;
mod views;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::{Extension, Router};
use http::StatusCode;
use mufakat_record::RecordId;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use self::openapi::Operations;
use self::problem::Problem;
use crate::desk::{self, Caller};
use crate::net::Flood;
use crate::node::Node;

/// The routes of a running node for whoever can open its socket, which is the operator.
pub(crate) fn local_routes(node: &Arc<Node>) -> Router {
    let routes = routes(node).0;
    #[cfg(test)]
    let routes = routes.layer(axum::middleware::from_fn(tests::as_officer));
    routes.layer(Extension(Caller::operator()))
}

/// The routes of a running node at the desk's listener, for officers' browsers and programs, with the console's pages.
pub(crate) fn desk_routes(node: &Arc<Node>) -> Router {
    let (routes, operations) = routes(node);
    let open = Router::from(session::open_routes()).with_state(Arc::clone(node));
    routes
        .layer(from_fn_with_state(Arc::clone(node), desk::authenticate))
        .merge(through_the_gate(node, open, operations))
        .merge(super::console::routes())
        .layer(from_fn_with_state(Arc::clone(node), desk::guard))
}

/// Every route with its description, by subject. A new file of routes is one line here.
fn subjects() -> Vec<OpenApiRouter<Arc<Node>>> {
    vec![
        status::routes(),
        records::routes(),
        passing_on::routes(),
        retention::routes(),
        search::routes(),
        searches::routes(),
        views::routes(),
        register::routes(),
        keys::routes(),
        upkeep::routes(),
        events::routes(),
        requests::routes(),
        officers::routes(),
        session::routes(),
        parcels::routes(),
        policy::routes(),
        drafts::routes(),
        uses::routes(),
        replay::routes(),
        matching::routes(),
    ]
}

/// Every route with its description.
fn described() -> OpenApiRouter<Arc<Node>> {
    subjects().into_iter().fold(OpenApiRouter::new(), OpenApiRouter::merge)
}

/// The description of what anybody can ask at the desk's listener.
fn open() -> utoipa::openapi::OpenApi {
    session::open_routes().into_openapi()
}

/// The routes of a running node, and its operations. Whoever serves them says who the caller is.
fn routes(node: &Arc<Node>) -> (Router, Operations) {
    let (routes, operations) = openapi::described(described().with_state(Arc::clone(node)), open());
    // From the handlers outwards: what is answered once (the gate stands before it, so that a key opens nothing), and tags. They
    // find the caller and the operation among the request's extensions.
    let routes = routes.layer(from_fn_with_state(once::Once::default(), once::once)).layer(from_fn(tags::tag));
    let routes = routes.fallback(no_such_route).method_not_allowed_fallback(no_such_method);
    (through_the_gate(node, routes, Arc::clone(&operations)), operations)
}

/// Routes whose operations are asked of the gate before their handlers run.
fn through_the_gate(node: &Arc<Node>, routes: Router, operations: Operations) -> Router {
    // What is layered before the operation is named, such as the gate, finds the name among the request's extensions.
    routes
        .layer(from_fn_with_state(Arc::clone(node), permit::permit))
        .layer(from_fn_with_state(Flood::new(node.config.limits.officer()), measure::measure))
        .layer(from_fn_with_state(operations, openapi::name_operation))
        .layer(DefaultBodyLimit::max(node.config.limits.api_body_bytes_max))
        .layer(from_fn_with_state(Arc::clone(node), count))
}

/// A record that was put down.
#[derive(Serialize, ToSchema)]
struct Made {
    /// Its id.
    id: RecordId,
}

fn made(id: RecordId) -> (StatusCode, axum::Json<Made>) {
    (StatusCode::CREATED, axum::Json(Made { id }))
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
