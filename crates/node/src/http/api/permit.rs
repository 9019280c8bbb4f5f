//! Whether the caller may have an operation carried out at all: asked of the gate before anything of the request is looked at.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::openapi::Operation;
use super::problem::Problem;
use crate::desk::{self, Caller};
use crate::gate::Decision;
use crate::node::Node;

/// Lets a request through to its handler, or refuses it and notes that.
pub(super) async fn permit(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    // A request that is for no operation is answered in the same way for everybody: there is no such thing here.
    let Some(operation) = request.extensions().get::<Operation>().cloned() else { return next.run(request).await };
    let caller = request.extensions().get::<Caller>().cloned();
    let decision = node.gate.decide_operation(caller.as_ref(), &node.me, operation.id());
    if decision.allow {
        return next.run(request).await;
    }
    refuse(&node, caller, operation.id(), decision).await.into_response()
}

async fn refuse(node: &Arc<Node>, caller: Option<Caller>, operation: &str, decision: Decision) -> Problem {
    // Whoever did not sign in is nobody whose doings could be noted.
    let Some(caller) = caller else {
        return Problem::new(StatusCode::UNAUTHORIZED, "not-signed-in", "sign in first");
    };
    match desk::note_operation(node, &caller, operation, decision.rule).await {
        Ok(()) => Problem::new(StatusCode::FORBIDDEN, decision.rule, decision.why),
        Err(fault) => fault.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::openapi;
    use crate::gate::operations;

    #[test]
    fn the_policy_knows_every_operation_and_no_other() {
        let described = openapi::description();
        let described: serde_json::Value = serde_json::from_str(&described.to_json().unwrap()).unwrap();
        let paths = described["paths"].as_object().unwrap().values();
        let served = paths.flat_map(|item| item.as_object().unwrap().values());
        let served: BTreeSet<_> =
            served.map(|operation| operation["operationId"].as_str().unwrap().to_owned()).collect();
        let known: BTreeSet<_> = operations().collect();
        let (missing, dead): (Vec<_>, Vec<_>) =
            (served.difference(&known).collect(), known.difference(&served).collect());
        assert!(missing.is_empty(), "put these into a group in gate/default/schema.cedarschema: {missing:?}");
        assert!(dead.is_empty(), "nothing serves these operations of gate/default/schema.cedarschema: {dead:?}");
    }
}
