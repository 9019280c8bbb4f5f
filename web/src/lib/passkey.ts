// Passkeys (W3C Web Authentication, Level 3): what the node asks goes to the authenticator, and what that says goes to the node.
import { Refusal, call } from '../api/call';

/** Makes a passkey with a one-time link; gives the officer's pseudonym. */
export async function enrol(invitation: string, label: string): Promise<string> {
  const begun = await call('post', '/api/v1/session/registration/begin', { body: { invitation } });
  const credential = await asked(() => {
    const { publicKey } = begun.options as unknown as { publicKey: PublicKeyCredentialCreationOptionsJSON };
    return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(publicKey) });
  });
  const body = { ceremony: begun.ceremony, label, credential };
  return (await call('post', '/api/v1/session/registration/finish', { body })).officer;
}

/** Signs in. The session is in a cookie that no script can read. */
export async function signIn(): Promise<void> {
  const begun = await call('post', '/api/v1/session/begin');
  const credential = await asked(() => {
    const { publicKey } = begun.options as unknown as { publicKey: PublicKeyCredentialRequestOptionsJSON };
    return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(publicKey) });
  });
  await call('post', '/api/v1/session/finish', { body: { ceremony: begun.ceremony, credential } });
}

/** Has a person and an authenticator do their part. */
async function asked(ask: () => Promise<Credential | null>): Promise<Record<string, never>> {
  if (!('PublicKeyCredential' in globalThis) || !('parseRequestOptionsFromJSON' in PublicKeyCredential)) {
    throw new Refusal(0, 'no-passkeys', 'This browser has no passkeys, or the page did not come by HTTPS. Use a current browser.');
  }
  try {
    const credential = await ask();
    if (credential instanceof PublicKeyCredential) return credential.toJSON();
  } catch (no) {
    const name = no instanceof DOMException ? no.name : '';
    if (name === 'InvalidStateError') {
      throw new Refusal(0, 'passkey-there', 'This device has a passkey of yours for this desk already. Sign in with it.');
    }
    if (name !== 'NotAllowedError' && name !== 'AbortError') throw no;
  }
  throw new Refusal(0, 'passkey-not-used', 'No passkey was used: it was cancelled, it took too long, or there is none on this device.');
}
