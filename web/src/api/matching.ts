// Rows of the view `matching`. The API describes a row's body as an object of the view's own form; those forms stand in
// crates/views/src/matching/mod.rs, and are named here as far as pages show them.
import { call, type Schemas } from './call';

export type Subject = Schemas['Subject'];
export type Tlp = Schemas['Tlp'];
export type Hit = Schemas['MatchHitShown'];
export type State = 'waiting' | 'answered' | 'hit' | 'miss' | 'refused' | 'fault';

/** Of each sort of row, what its body says. */
interface Bodies {
  ask: {
    by: string | null;
    purpose: string;
    case: string;
    basis: string;
    partners: string[];
    items: number;
    watch_until: number | null;
    ended_ms: number | null;
    questions: number;
  };
  question: {
    ask: string;
    question: string;
    partner: string;
    subject: Subject;
    count: number;
    asked_ms: number;
    state: State;
    answered_ms: number | null;
    reason: string | null;
    looked_ms: number | null;
    hits: Hit[];
  };
  key: {
    side: 'given' | 'got';
    partner: string;
    subject: Subject;
    enumerable: boolean;
    epoch: number;
    from: number;
    until: number;
    replaced: boolean;
    filters: { number: number; class: number; at_ms: number }[];
  };
  list: { by?: string | null; new: number; changed: number; same: number; removed: number; refused: number };
  alarm: { partner: string; mark: 'near' | 'exhausted'; used: number; limit: number };
}

/** A row, with its body. */
export type Row<S extends keyof Bodies> = { key: string; record: string; time_ms: number } & Bodies[S];

/** A page of rows, and whether there are earlier ones. */
export interface Page<S extends keyof Bodies> {
  rows: Row<S>[];
  more: boolean;
}

/** The newest rows of a sort, with these facets besides; as many as the node gives at once, if nothing is said. */
export async function rows<S extends keyof Bodies>(sort: S, facets: string[] = [], limit = 500): Promise<Page<S>> {
  const query = { limit, facet: [`row:${sort}`, ...facets] };
  const page = await call('get', '/api/v1/views/{view}', { path: { view: 'matching' }, query });
  const read = page.rows.map((row) => ({ ...(row.body as unknown as Bodies[S]), key: row.key, record: row.record, time_ms: row.time_ms }));
  return { rows: read, more: page.next != null };
}

/** Whether questions can be asked under a key now. */
export function usable(key: Row<'key'>, nowMs = Date.now()): boolean {
  return key.filters.length > 0 && key.until * 1000 > nowMs;
}

/** Other members of the register, by their ids. */
export async function partners(me: string): Promise<{ id: string; name: string }[]> {
  const register = await call('get', '/api/v1/register');
  const others = register.agencies.filter((agency) => agency.id !== me && agency.removed == null);
  return others.map(({ id, name }) => ({ id, name })).sort((a, b) => a.id.localeCompare(b.id));
}
