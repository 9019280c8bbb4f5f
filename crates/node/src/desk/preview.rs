//! What a release would do, before anything of it leaves: who will be able to read it, who will not, and by which rule.

use std::collections::BTreeMap;

use mufakat_exchange::Directory;
use mufakat_record::AgencyId;
use serde_json::{Value, json};

use super::four_eyes;
use super::Caller;
use crate::gate::{Action, Named, Request};
use crate::node::Node;
use crate::share::{self, Envelope, NotShared};
use crate::clock;

/// Who will be able to read what an envelope says, who will not, and why.
pub(crate) fn preview(
    node: &Node,
    caller: &Caller,
    directory: &Directory,
    envelope: &Envelope,
) -> Result<Value, NotShared> {
    let chain = directory.chain();
    let register = chain.current();
    let mut by_name: BTreeMap<AgencyId, &AgencyId> = BTreeMap::new();
    for name in &envelope.to {
        let agencies = chain.resolve(std::slice::from_ref(name));
        let agencies = agencies.map_err(|e| NotShared::new("unknown-recipient", e.to_string()))?;
        for agency in agencies {
            // An agency that is named itself is not there because of its party.
            if *name == agency || !by_name.contains_key(&agency) {
                by_name.insert(agency, name);
            }
        }
    }
    by_name.remove(&node.me);
    let named: Vec<Named> = envelope.to.iter().filter_map(|name| Named::find(name, register)).collect();
    let handling = share::handling_of(envelope);
    let ask = |audience: &[AgencyId]| {
        node.gate.decide(&Request {
            action: Action::Release { named: &named },
            handling: &handling,
            audience,
            author: &node.me,
            expires: envelope.expires,
            me: &node.me,
            register,
            now_s: clock::now_s(),
        })
    };
    let whole = ask(&by_name.keys().cloned().collect::<Vec<_>>());
    let (mut may, mut may_not) = (Vec::new(), Vec::new());
    for agency in register.members().filter(|agency| agency.id != node.me) {
        let mut shown = json!({ "agency": agency.id, "name": agency.name, "party": agency.party });
        let Some(name) = by_name.get(&agency.id) else {
            shown["rule"] = "not-in-audience".into();
            shown["why"] = "it is not named, nor is its party or a forum of it".into();
            may_not.push(shown);
            continue;
        };
        let decision = ask(std::slice::from_ref(&agency.id));
        if whole.allow && decision.allow {
            shown["as"] = json!(name);
            may.push(shown);
        } else {
            let decision = if decision.allow { &whole } else { &decision };
            shown["rule"] = decision.rule.into();
            shown["why"] = decision.why.as_str().into();
            may_not.push(shown);
        }
    }
    let demand = four_eyes::four_eyes_needed(&handling, &envelope.body);
    Ok(json!({
        "allowed": whole.allow,
        "rule": (!whole.allow).then_some(whole.rule),
        "why": (!whole.allow).then_some(&whole.why),
        "may_read": may,
        "may_not_read": may_not,
        "records": if envelope.hidden_audience { by_name.len() } else { 1 },
        "four_eyes": demand.map(|demand| json!({
            "rule": demand.rule(), "why": demand.why(), "demanded": caller.officer.is_some(),
        })),
    }))
}
