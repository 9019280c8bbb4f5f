// Tells pages when something has happened at the node, by its stream of events. A stream is no use of a session, and lets it end
// by idleness; what is fetched because of an event would be. So nothing is fetched while nobody is at the page: what has happened
// meanwhile is fetched when somebody comes back.
import { session } from './session.svelte';

/** For how long after the last key or click somebody is taken to be there. */
const PRESENT_MS = 120_000;
/** Events come in groups, such as a question and what it belongs to; one fetch serves for all, and no storm of them asks too much. */
const GATHER_MS = 1_000;
/** How long to wait before a stream that was refused is asked for again. */
const AGAIN_MS = 15_000;

class Live {
  /** Counts up when pages are to fetch anew. */
  turn = $state(0);
  /** Whether something has happened that is not shown yet. */
  behind = $state(false);
  /** Whether the stream of events is open. */
  connected = $state(false);
  private usedMs = Date.now();
  private gathering: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    for (const sign of ['keydown', 'pointerdown', 'focus'] as const) addEventListener(sign, () => this.used());
  }

  /** Listens until the function that this gives is called. */
  listen(): () => void {
    let again: ReturnType<typeof setTimeout> | undefined;
    const later = (): void => {
      if (session.me) again = setTimeout(() => (events = this.open(refused)), AGAIN_MS);
    };
    // The session has ended, which a call tells, or too much is asked at once.
    const refused = (): void => void session.find().then(later, later);
    let events = this.open(refused);
    return () => {
      events.close();
      clearTimeout(again);
      clearTimeout(this.gathering);
      this.gathering = undefined;
      this.connected = false;
      this.behind = false;
    };
  }

  /** Opens the stream; a browser opens it again by itself when it breaks, but not when it is refused. */
  private open(refused: () => void): EventSource {
    const events = new EventSource('/api/v1/events');
    events.onopen = () => {
      // What has happened while there was no stream is not known.
      if (!this.connected) this.happened();
      this.connected = true;
    };
    events.onmessage = () => this.happened();
    events.onerror = () => {
      this.connected = false;
      if (events.readyState === EventSource.CLOSED) refused();
    };
    return events;
  }

  private used(): void {
    this.usedMs = Date.now();
    if (this.behind) this.renew();
  }

  private happened(): void {
    if (Date.now() - this.usedMs > PRESENT_MS) this.behind = true;
    else this.gathering ??= setTimeout(() => this.renew(), GATHER_MS);
  }

  private renew(): void {
    clearTimeout(this.gathering);
    this.gathering = undefined;
    this.behind = false;
    this.turn += 1;
  }
}

export const live = new Live();
