// Who is signed in at this page, and for which purpose he or she asks.
import { Refusal, call, calling, type Schemas } from '../api/call';

class Session {
  /** Who is signed in; null when nobody is, and undefined until that is known. */
  me = $state<Schemas['WhoAmI'] | null>();
  /** Which agency this node is of. */
  agency = $state('');
  /** Why somebody has to sign in again. */
  notice = $state('');
  /** For which purpose is asked. */
  purpose = $state('');

  /** Finds out who is signed in. Throws when the node cannot say. */
  async find(): Promise<void> {
    try {
      const me = await call('get', '/api/v1/session');
      this.agency = (await call('get', '/api/v1/status')).agency;
      // Whoever acts for one purpose alone acts for it always.
      this.say(me.purposes.length === 1 ? (me.purposes[0] ?? '') : '');
      this.notice = '';
      this.me = me;
    } catch (no) {
      if (!(no instanceof Refusal) || no.status !== 401) throw no;
      this.me = null;
    }
  }

  /** Says for which purpose is asked from now on. */
  say(purpose: string): void {
    this.purpose = purpose;
    calling.purpose = purpose;
  }

  /** Forgets who was signed in, and with it every page that is shown. */
  forget(notice: string): void {
    this.me = null;
    this.say('');
    this.notice = notice;
  }

  async signOut(): Promise<void> {
    await call('delete', '/api/v1/session');
    this.forget('You are signed out.');
  }

  /** Whether one of these roles is among those of whoever is signed in. */
  has(...roles: Schemas['Role'][]): boolean {
    return roles.some((role) => this.me?.roles.includes(role));
  }
}

export const session = new Session();

calling.signedOut = () => {
  // Before anybody has signed in, nothing has ended.
  if (session.me) session.forget('Your session has ended. Sign in again.');
};
