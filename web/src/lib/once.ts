// A key for each thing that is to be done once: the same body is sent again under the same key, so that whoever presses twice, or
// again after a lost answer, has it done once (docs/api.md, Idempotency-Key).

export class Once {
  private body = '';
  private key = '';

  /** The key of this body. */
  keyFor(body: unknown): string {
    const text = JSON.stringify(body);
    if (text !== this.body || !this.key) [this.body, this.key] = [text, crypto.randomUUID()];
    return this.key;
  }

  /** What was sent is done: the same again is something new. */
  done(): void {
    this.key = '';
  }
}
