// Calls of the node's API. Paths, parameters, bodies and answers have the types of its description (web/openapi.json), from which
// schema.ts is generated; a call that the API does not have does not compile.
import type { components, paths } from './schema';

/** What the description names. */
export type Schemas = components['schemas'];

type Method = 'get' | 'post' | 'delete';
type Operation<P extends keyof paths, M extends Method> = Exclude<paths[P][M], undefined>;
/** The paths that are asked in this way. */
type Paths<M extends Method> = { [P in keyof paths]: [Operation<P, M>] extends [never] ? never : P }[keyof paths];
type Json<C> = C extends { content: { 'application/json': infer T } } ? T : undefined;
type Answer<O> = O extends { responses: { 200: infer C } } ? Json<C> : O extends { responses: { 201: infer C } } ? Json<C> : undefined;
type Part<O, N extends 'path' | 'query'> = O extends { parameters: { [K in N]?: infer T } } ? NonNullable<T> : never;
type Body<O> = O extends { requestBody: { content: { 'application/json': infer T } } } ? T : never;
type Given<O> = {
  path?: Part<O, 'path'>;
  query?: Part<O, 'query'>;
  body?: Body<O>;
  /** What the caller calls this request; sent again with the same key it is carried out once. */
  key?: string;
};

/** What was not done, and why (RFC 9457). */
export class Refusal extends Error {
  constructor(
    /** The HTTP status; 0 when the node could not be reached. */
    readonly status: number,
    /** The name of the reason. */
    readonly reason: string,
    /** The same in words. */
    readonly detail: string,
    /** After how many seconds to come back, when that was said. */
    readonly retryAfterS?: number,
  ) {
    super(`${reason}: ${detail}`);
  }
}

/** What every call says besides, and who learns that nobody is signed in any more. */
export const calling = { purpose: '', signedOut: () => {} };

/** Asks the node; gives its answer, or throws a [`Refusal`]. */
export async function call<M extends Method, P extends Paths<M>>(
  method: M,
  path: P,
  given: Given<Operation<P, M>> = {},
): Promise<Answer<Operation<P, M>>> {
  const headers = new Headers({ accept: 'application/json' });
  // A header has bytes; the API reads them as UTF-8 (docs/api.md), and browsers take a string of bytes.
  if (calling.purpose) headers.set('mufakat-purpose', bytes(calling.purpose));
  if (given.key) headers.set('idempotency-key', given.key);
  const request: RequestInit = { method: method.toUpperCase(), headers, credentials: 'same-origin', redirect: 'error' };
  if (given.body !== undefined) {
    headers.set('content-type', 'application/json');
    request.body = JSON.stringify(given.body);
  }
  let response: Response;
  try {
    response = await fetch(address(path, given.path ?? {}, given.query ?? {}), request);
  } catch {
    throw new Refusal(0, 'unreachable', 'The node does not answer. Nothing is known of what was asked; try again.');
  }
  if (!response.ok) throw await refusal(response);
  const text = await response.text();
  // The answer is of the type that the description gives; the tests of the node hold it to that.
  return (text ? JSON.parse(text) : undefined) as Answer<Operation<P, M>>;
}

async function refusal(response: Response): Promise<Refusal> {
  const problem: Partial<Schemas['Problem']> = await response.json().catch(() => ({}));
  const after = Number(response.headers.get('retry-after')) || undefined;
  const { reason = `status-${response.status}`, detail = 'The node gives no words for it.' } = problem;
  if (reason === 'not-signed-in') calling.signedOut();
  return new Refusal(response.status, reason, detail, after);
}

function address(path: string, places: object, query: object): string {
  const filled = Object.entries(places).reduce(
    (filled, [name, value]) => filled.replace(`{${name}}`, encodeURIComponent(String(value))),
    path,
  );
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) asked.append(name, String(one));
  }
  const text = asked.toString();
  return text ? `${filled}?${text}` : filled;
}

function bytes(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}
