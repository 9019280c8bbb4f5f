// What a page shows of the node, fetched anew when something has happened.
import { untrack } from 'svelte';

import { Refusal } from '../api/call';
import { live } from './live.svelte';

export class Loaded<T> {
  /** The latest answer. It stays when a later one could not be had. */
  value = $state.raw<T>();
  /** Why there is no later one. */
  no = $state.raw<Refusal>();
  private asked = 0;

  /** For the setup of a component. What `fetch` reads of the page's state makes it fetch again. */
  constructor(private readonly fetch: () => Promise<T>) {
    $effect(() => {
      void live.turn;
      const asked = this.fetch();
      untrack(() => this.take(asked));
    });
  }

  /** Fetches it now. */
  again(): Promise<void> {
    return this.take(this.fetch());
  }

  private async take(answer: Promise<T>): Promise<void> {
    const number = ++this.asked;
    try {
      const value = await answer;
      // An answer that was overtaken by a later question is of no use.
      if (number === this.asked) [this.value, this.no] = [value, undefined];
    } catch (no) {
      if (number === this.asked) this.no = asRefusal(no);
    }
  }
}

/** What went wrong, in the form in which pages show it. */
export function asRefusal(no: unknown): Refusal {
  return no instanceof Refusal ? no : new Refusal(0, 'console', `The console failed: ${String(no)}`);
}
