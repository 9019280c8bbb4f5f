//! Which records somebody may find, as tokens.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mufakat_record::cbor;
use mufakat_views::text::facets;

use crate::{Class, ClassNumber};

/// Classes in groups: those of one kind and handling, whoever the author and the audience are. A group goes by the number of its
/// first class. Most of what decides who may read is the same within a group, so that a question names few groups instead of
/// many classes.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    first: HashMap<Vec<u8>, ClassNumber>,
    of: BTreeMap<ClassNumber, ClassNumber>,
}

impl Groups {
    /// Takes classes in, in the order of their numbers.
    pub fn learn(&mut self, classes: &[(ClassNumber, Class)]) {
        for (number, class) in classes {
            let group = [cbor::encode(&class.kind), cbor::encode(&class.handling)].concat();
            let first = *self.first.entry(group).or_insert(*number);
            self.of.insert(*number, first);
        }
    }

    /// The greatest number of a class that is known.
    pub fn last(&self) -> ClassNumber {
        self.of.last_key_value().map_or(crate::NO_CLASS, |(number, _)| *number)
    }

    /// The group of a class.
    pub(super) fn of(&self, class: ClassNumber) -> Option<ClassNumber> {
        self.of.get(&class).copied()
    }
}

/// The classes whose records somebody may find.
#[derive(Debug, Clone)]
pub struct Scope {
    classes: BTreeSet<ClassNumber>,
    tokens: Option<Vec<String>>,
}

impl Scope {
    /// The scope of some classes.
    pub fn of(groups: &Groups, classes: &[ClassNumber]) -> Self {
        let classes: BTreeSet<_> = classes.iter().copied().collect();
        let mut whole: BTreeMap<ClassNumber, bool> = BTreeMap::new();
        for (class, group) in &groups.of {
            *whole.entry(*group).or_insert(true) &= classes.contains(class);
        }
        if whole.values().all(|whole| *whole) {
            return Self { classes, tokens: None };
        }
        let is_whole = |class: &ClassNumber| groups.of(*class).is_some_and(|group| whole.get(&group) == Some(&true));
        let in_groups = whole.iter().filter(|(_, whole)| **whole).map(|(group, _)| facets::group(*group));
        let single = classes.iter().filter(|class| !is_whole(class)).map(|class| facets::class(*class));
        let tokens = in_groups.chain(single).collect();
        Self { classes, tokens: Some(tokens) }
    }

    /// Whether records of a class may be found. A group can get a class that was not known when the scope was made.
    pub(super) fn holds(&self, class: ClassNumber) -> bool {
        self.classes.contains(&class)
    }

    /// Whether nothing may be found.
    pub(super) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Tokens of which every record in the scope has one. None when every class may be found: then there is nothing to leave
    /// out, and to look for one of all tokens there are would cost more than the rest of the question.
    pub(super) fn tokens(&self) -> Option<&[String]> {
        self.tokens.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use mufakat_record::{AgencyId, Handling, Tlp};

    use super::*;

    fn class(author: &str, tlp: Tlp) -> Class {
        let author: AgencyId = author.parse().unwrap();
        Class { audience: vec![author.clone()], author, kind: "report".to_owned(), handling: Handling::with(tlp) }
    }

    #[test]
    fn whole_groups_are_named_as_one() {
        let mut groups = Groups::default();
        groups.learn(&[(1, class("aa", Tlp::Red)), (2, class("aa", Tlp::Green)), (3, class("bb", Tlp::Green))]);
        groups.learn(&[(4, class("cc", Tlp::Green)), (7, class("bb", Tlp::Red))]);
        assert_eq!((groups.last(), groups.of(3), groups.of(7), groups.of(5)), (7, Some(2), Some(1), None));
        let tokens = |classes: &[ClassNumber]| {
            Scope::of(&groups, classes).tokens.map_or("all".to_owned(), |tokens| tokens.join(" "))
        };
        assert_eq!(tokens(&[2, 3, 4]), "=g2");
        assert_eq!(tokens(&[1, 2, 3]), "=h1 =h2 =h3");
        assert_eq!(tokens(&[7, 1, 3]), "=g1 =h3");
        assert_eq!(tokens(&[]), "");
        assert_eq!(tokens(&[1, 2, 3, 4, 7]), "all");
        assert_eq!(tokens(&[9]), "=h9");
        let scope = Scope::of(&groups, &[2, 3, 4]);
        assert!(scope.holds(3) && !scope.holds(8) && !scope.holds(1));
    }
}
