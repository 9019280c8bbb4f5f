// Which page is shown. It stands behind the `#` of the address, which browsers send to nobody: neither the id of an ask nor the
// secret of a one-time link comes to a log.

class Route {
  /** The parts of the path, such as `asks` and an id. */
  parts = $state<string[]>([]);

  constructor() {
    this.read();
    addEventListener('hashchange', () => this.read());
  }

  private read(): void {
    this.parts = location.hash.replace(/^#\/?/, '').split('/').filter(Boolean);
  }

  /** Takes the secret of a one-time link out of the address, so that it stays in no history. */
  takeInvitation(): string {
    const [page, invitation = ''] = this.parts;
    if (page !== 'enrol' || !invitation) return '';
    history.replaceState(null, '', '#/enrol');
    this.read();
    return invitation;
  }
}

export const route = new Route();

/** Goes to a page. */
export function go(path: string): void {
  location.hash = path;
}
