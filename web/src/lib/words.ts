// The API's names in words for people. A name without words here is shown as it stands.
import type { Schemas } from '../api/call';
import type { Hit, State } from '../api/matching';

/** What became of a question, as people see it: on a name there are candidates, and never a hit. */
export type Outcome = State | 'candidate';

export function outcome(question: { state: State; hits: readonly Hit[] }): Outcome {
  return question.state === 'hit' && !question.hits.some((hit) => sure(hit.confidence)) ? 'candidate' : question.state;
}

/** How each outcome is marked. */
export const MARKS: Record<Outcome, 'hit' | 'candidate' | 'bad' | 'plain'> = {
  hit: 'hit',
  candidate: 'candidate',
  fault: 'bad',
  refused: 'bad',
  waiting: 'plain',
  answered: 'plain',
  miss: 'plain',
};

/** What each outcome means. */
export const OUTCOMES: Record<Outcome, string> = {
  waiting: 'No answer yet. A partner that is away answers when it is back.',
  answered: 'Answered. The partner’s list is not here yet.',
  hit: 'Listed',
  candidate: 'A name that may be the same is listed',
  miss: 'Not listed',
  refused: 'Refused by the partner',
  fault: 'The answer or the list is not sound, so nothing can be said.',
};

const CONFIDENCES: Record<Schemas['MatchConfidence'], string> = {
  exact: 'Hit: the identifier itself is listed',
  'name-folded': 'Candidate: spelt alike',
  'name-skeleton': 'Candidate: same consonants',
  'name-coarse': 'Candidate: similar consonants',
};

const REASONS: Record<string, string> = {
  'budget-exhausted': 'the budget is used up',
  'no-budget': 'the partner has given us no budget',
  'unknown-key': 'the partner does not know the key that we used',
  'key-over': 'the key that we used is over',
  replayed: 'the partner has had this question before',
  repeated: 'something stands in the question twice',
  'wrong-padding': 'the size of the question does not fit its count',
  'wrong-proof': 'the answer was made under another key, or changed',
  'not-all-answered': 'the partner answered a part only',
  'filter-missing': 'the partner’s list did not come until its key was over',
  'hits-everything': 'the partner’s list says of everything that it is listed',
  'wrong-hash': 'the partner’s list is not the one that it announced',
  'no-list': 'it has told us of no list of these',
};

const SUBJECTS: Record<string, string> = {
  imo: 'IMO number',
  mmsi: 'MMSI',
  icao24: 'aircraft address',
  iban: 'IBAN',
  url: 'URL',
};

/** What is asked about. */
export function subject(name: string): string {
  return SUBJECTS[name] ?? plain(name);
}

/** How sure a hit is. */
export function confidence(name: Schemas['MatchConfidence']): string {
  return CONFIDENCES[name];
}

/** Whether a hit is on the identifier itself, and not on a name that may be the one asked about. */
export function sure(name: Schemas['MatchConfidence']): boolean {
  return name === 'exact';
}

/** Why, with the name of the reason for whoever looks it up. */
export function because(reason: string | null | undefined): string {
  if (!reason) return '';
  const words = REASONS[reason];
  return words ? `${words} (${reason})` : reason;
}

/** A name of the API as words: hyphens go. */
export function plain(name: string): string {
  return name.replaceAll('-', ' ');
}

/** A number with a word, which takes an s unless it is one. */
export function count(number: number, word: string): string {
  return `${number.toLocaleString('en')} ${word}${number === 1 ? '' : 's'}`;
}
