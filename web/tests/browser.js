// A real Chromium with passkeys of its own, watched: whatever a page asks of anybody but its node, whatever its policy blocks, and
// whatever it complains of is a fault.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

import { missing } from './access.js';

/** Nothing here takes longer unless something is wrong. */
export const PATIENCE_MS = 20_000;

// Chromium asks its maker for updates and the like; here it asks nobody.
const QUIET = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** The virtual authenticator of W3C Web Authentication (section 11): with a memory, and a person who is there and is verified. */
const AUTHENTICATOR = {
  protocol: 'ctap2',
  transport: 'internal',
  hasResidentKey: true,
  hasUserVerification: true,
  isUserVerified: true,
  automaticPresenceSimulation: true,
};

export class Browser {
  /** Starts Chromium. `origin` is the desk's; pictures go to `pictures`. */
  static async start({ chromium: executablePath, origin, pictures }) {
    rmSync(pictures, { recursive: true, force: true });
    mkdirSync(pictures, { recursive: true });
    return new Browser(await chromium.launch({ executablePath, args: QUIET }), origin, pictures);
  }

  constructor(chromium, origin, pictures) {
    Object.assign(this, { chromium, origin, pictures, faults: [], asked: 0 });
  }

  /** A window of somebody's own, with an authenticator. */
  async window() {
    const context = await this.chromium.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'light', timezoneId: 'Asia/Ho_Chi_Minh' });
    context.setDefaultTimeout(PATIENCE_MS);
    const page = await context.newPage();
    await page.addInitScript(() => {
      addEventListener('securitypolicyviolation', (event) => console.error(`blocked: ${event.violatedDirective} ${event.blockedURI}`));
    });
    const fault = (what) => this.faults.push(what);
    page.on('pageerror', (error) => fault(`error: ${error}`));
    page.on('console', (said) => {
      // A refusal of the API is told in the page, and Chromium tells of it, too. Anything else that is said here is a fault.
      const refused = said.text().startsWith('Failed to load resource') && said.location().url.startsWith(`${this.origin}/api/v1/`);
      if (['error', 'warning'].includes(said.type()) && !refused) fault(`${said.type()}: ${said.text()}`);
    });
    page.on('request', (request) => {
      this.asked += 1;
      const { origin, protocol } = new URL(request.url());
      if (origin !== this.origin && protocol !== 'data:') fault(`asked elsewhere: ${request.url()}`);
    });
    const devices = await context.newCDPSession(page);
    await devices.send('WebAuthn.enable');
    await devices.send('WebAuthn.addVirtualAuthenticator', { options: AUTHENTICATOR });
    return page;
  }

  /** Takes pictures of a page, and sees that it fits where there is little room, and can be read and used. */
  async picture(page, name) {
    for (const [width, height, colorScheme] of [[1280, 800, 'light'], [1280, 800, 'dark'], [360, 740, 'dark'], [360, 740, 'light']]) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      for (const what of await page.evaluate(missing)) this.faults.push(`${name}, ${width}, ${colorScheme}: ${what}`);
      if (wide > width) this.faults.push(`${name} is ${wide} wide where there are ${width}`);
      await page.screenshot({ path: join(this.pictures, `${name}-${width}-${colorScheme}.png`), fullPage: true });
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.emulateMedia({ colorScheme: 'light' });
  }

  /** Takes a picture of every window as it is, for whoever looks why something did not hold. */
  async failed() {
    const pages = this.chromium.contexts().flatMap((context) => context.pages());
    for (const [number, page] of pages.entries()) await page.screenshot({ path: join(this.pictures, `failed-${number}.png`), fullPage: true });
  }

  async stop() {
    await this.chromium.close();
  }
}
