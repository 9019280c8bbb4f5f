//! The agency's keys: their public halves, and new ones in their place.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use mufakat_record::KeyId;
use serde::Deserialize;
use serde_json::Value;

use super::problem::{Json, Problem};
use crate::keys::{self, Rotation};
use crate::node::Node;

pub(super) fn routes() -> Router<Arc<Node>> {
    Router::new()
        .route("/api/v1/keys", get(show))
        .route("/api/v1/keys/rotate", post(rotate))
        .route("/api/v1/keys/revoke", post(revoke))
}

async fn show(State(node): State<Arc<Node>>) -> axum::Json<Value> {
    axum::Json(keys::describe(&node.keyring.load(), node.directory().key_set(&node.me)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotate {
    what: Rotation,
}

async fn rotate(State(node): State<Arc<Node>>, Json(asked): Json<Rotate>) -> Result<axum::Json<Value>, Problem> {
    keys::rotate(&node, asked.what).await??;
    Ok(show(State(node)).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    key: KeyId,
}

async fn revoke(State(node): State<Arc<Node>>, Json(asked): Json<Revoke>) -> Result<axum::Json<Value>, Problem> {
    keys::revoke(&node, asked.key).await??;
    Ok(show(State(node)).await)
}
