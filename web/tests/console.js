// The console in a real browser against real nodes. `mufakat-trial console` starts these and says on the command line where they are,
// as one JSON object: `origin`, `chromium`, `pictures`, `links` (the one-time link of each officer), `partner`, `listed`. Each thing that
// holds is told on a line; the first that does not ends the run.
import { ok as holds } from 'node:assert/strict';

import { Browser } from './browser.js';

const stage = JSON.parse(process.argv[2]);
let held = 0;

/** Says what holds. */
function told(what) {
  held += 1;
  console.log(what);
}

/** Sees that a place of the page says something. */
async function says(place, words) {
  await place.getByText(words).first().waitFor();
}

const heading = (page, name) => page.getByRole('heading', { name, exact: true }).waitFor();
const button = (page, name) => page.getByRole('button', { name, exact: true });

/** Goes to a page; from there on the keyboard goes on in it. */
async function goTo(page, name) {
  const before = await page.title();
  await page.getByRole('navigation').getByRole('link', { name, exact: true }).click();
  await page.waitForFunction((name) => document.title.startsWith(name), name);
  if (!before.startsWith(name)) await page.waitForFunction(() => document.activeElement?.tagName === 'MAIN');
}

/** From a one-time link to the first page behind the sign-in. */
async function enter(page, officer) {
  await page.goto(stage.links[officer]);
  await heading(page, 'Enrol');
  holds(!page.url().includes('mfi_'), 'the secret stays in the address');
  await page.getByLabel('What you call this passkey').fill('EXERCISE key');
  await button(page, 'Make the passkey').click();
  await says(page.getByRole('status'), officer);
  await page.getByRole('link', { name: 'Go on and sign in' }).click();
  await button(page, 'Sign in with a passkey').click();
  await page.getByRole('navigation').waitFor();
  await says(page.getByRole('banner'), officer);
}

async function enrols(browser, page) {
  await page.goto(stage.origin);
  await heading(page, 'Sign in');
  await button(page, 'Sign in with a passkey').click();
  await says(page.getByRole('alert'), 'passkey-not-used');
  told('without a passkey nobody is signed in');
  await browser.picture(page, 'sign-in');
  await page.goto(stage.links['d3-night']);
  await heading(page, 'Enrol');
  await browser.picture(page, 'enrol');
  await enter(page, 'd3-night');
  told('an officer enrols by a one-time link and signs in with the passkey');
  const other = await browser.window();
  await other.goto(stage.links['d3-night']);
  await other.getByLabel('What you call this passkey').fill('EXERCISE thief');
  await button(other, 'Make the passkey').click();
  await says(other.getByRole('alert'), 'sign-in-failed');
  told('a link that was used is good for nothing');
  await other.context().close();
}

/** Fills the page Ask. */
async function write(page, lines, watch = '') {
  await goTo(page, 'Ask');
  await heading(page, 'Ask partners');
  const form = page.getByRole('main');
  await form.getByLabel('Identifiers and names').fill(lines.join('\n'));
  await form.getByRole('checkbox', { name: stage.partner }).check();
  await form.getByLabel('Purpose').selectOption('EXERCISE border check');
  await form.getByLabel('Case').fill('EXERCISE 7/2026');
  await form.getByLabel('Legal basis').fill('EXERCISE treaty, article 3');
  await form.getByLabel('Watch until').fill(watch);
  await button(page, 'Ask').click();
}

async function slips(browser, page) {
  await write(page, [stage.listed, '', 'imo:9074728']);
  const result = page.getByRole('region', { name: 'What came of it' });
  await says(result, 'check digit');
  await result.getByRole('button', { name: 'Line 3' }).click();
  const chosen = () => {
    const { value, selectionStart, selectionEnd } = document.activeElement;
    return value?.slice(selectionStart, selectionEnd);
  };
  holds((await page.evaluate(chosen)) === 'imo:9074728', 'the line is not shown');
  told('a check digit that does not fit is told by its line, and the line is shown');
  await browser.picture(page, 'ask-refused');
  await write(page, ['ship:9074729', 'name:EXERCISE An Nguyen']);
  await says(result, 'begins with none of');
  await says(result, 'the year of birth');
  told('what has no type, or a name without a year, is told before anything leaves the page');
}

async function asks(browser, page) {
  const tomorrow = new Date(Date.now() + 2 * 86_400_000).toISOString().slice(0, 10);
  await write(page, [stage.listed, 'passport:VNM:C9081726', 'imo:9395044', 'name:Dmitry Sokolov:1975'], tomorrow);
  const result = page.getByRole('region', { name: 'What came of it' });
  await says(result, '3 questions');
  await says(result, 'Auditable, not secret');
  told('a partner is asked, and what is auditable and not secret is named');
  await browser.picture(page, 'ask');
  await result.getByRole('link', { name: 'See what comes of it' }).click();
  await heading(page, 'Ask: EXERCISE 7/2026');
  const row = (what) => page.getByRole('row').filter({ hasText: what });
  // The answers come while the page is open, and it shows them by itself.
  await says(row('passport'), 'hit');
  await says(row('imo'), 'miss');
  await says(row('name'), 'candidate');
  const hit = page.getByRole('listitem').filter({ hasText: 'VNM:C1234567' }).filter({ hasText: 'entry' });
  await says(hit, 'stolen');
  await says(hit, 'Hit: the identifier itself is listed');
  const candidate = page.getByRole('listitem').filter({ hasText: 'Dmitry Sokolov' }).filter({ hasText: 'entry' });
  await says(candidate, 'wanted');
  await says(candidate, 'Candidate');
  told('one hit with its label, one miss, and a name that is a candidate come to the open page by themselves');
  await button(hit, `Draft a request to ${stage.partner}`).click();
  await says(hit, 'The draft stays home');
  told('a request is drafted from the hit');
  await browser.picture(page, 'ask-shown');
}

async function sees(browser, page) {
  await goTo(page, 'Asks and hits');
  await page.getByRole('row').filter({ hasText: 'stolen' }).waitFor();
  const names = await page.getByRole('heading', { level: 2 }).allTextContents();
  holds(names.join() === 'Hits,Asks', `the page has ${names}`);
  await says(page.getByRole('row').filter({ hasText: 'EXERCISE 7/2026' }), '1 with hits');
  told('hits stand before asks');
  await browser.picture(page, 'asks');

  await goTo(page, 'Watches');
  const watch = page.getByRole('row').filter({ hasText: 'EXERCISE 7/2026' });
  await watch.waitFor();
  await browser.picture(page, 'watches');
  await button(watch, 'End the watch…').click();
  await button(watch, 'End the watch').click();
  await says(page.getByRole('main'), 'Nothing is watched');
  await says(page.getByRole('main'), 'The watch of EXERCISE 7/2026 has ended.');
  told('a watch is seen and ended');

  await goTo(page, 'Budgets');
  await says(page.getByRole('row').filter({ hasText: stage.partner }), '5,000');
  await page.getByRole('row').filter({ hasText: 'd3-night' }).waitFor();
  holds((await button(page, 'Set the budget').count()) === 0, 'a duty officer is offered to set a budget');
  told('budgets are seen on both sides, and not offered to be set by whoever may not');
  await browser.picture(page, 'budgets');

  await goTo(page, 'List health');
  await heading(page, 'Told to partners');
  for (const subject of ['passport', 'name', 'imo', 'phone']) {
    await says(page.getByRole('row').filter({ hasText: stage.partner }).filter({ hasText: subject }), 'in use');
  }
  await says(page.getByRole('row').filter({ hasText: 'at the socket' }), '1');
  told('keys and filters are seen on both sides, with what is listed and was taken in');
  await browser.picture(page, 'lists');
}

/** A supervisor stops a partner, while nobody is at the window `left`: it asks nothing until somebody comes back. */
async function supervises(browser, left) {
  await goTo(left, 'Budgets');
  const there = left.getByRole('row').filter({ hasText: stage.partner }).filter({ hasText: '10 days' });
  await says(there, 'ok');
  const page = await browser.window();
  await enter(page, 's1-chief');
  await left.clock.setFixedTime(Date.now() + 600_000);
  await goTo(page, 'Budgets');
  await page.getByLabel('Partner').selectOption(stage.partner);
  await page.getByLabel('May ask').fill('0');
  await button(page, 'Set the budget').click();
  await says(page.getByRole('main'), `${stage.partner} is stopped.`);
  await says(page.getByRole('row').filter({ hasText: stage.partner }), 'stopped');
  told('a supervisor stops a partner');
  await says(left.getByRole('status'), 'Something has happened while nobody was here.');
  await says(there, 'ok');
  await left.keyboard.press('Shift');
  await says(there, 'stopped');
  told('a page that nobody is at asks nothing, and shows what has happened when somebody comes back');
  await browser.picture(page, 'budgets-supervisor');
  await page.context().close();
}

async function isRefused(browser) {
  const page = await browser.window();
  await enter(page, 'x9-audit');
  await write(page, [stage.listed]);
  await says(page.getByRole('region', { name: 'What came of it' }), 'Nothing was asked.');
  await says(page.getByRole('alert'), 'Your roles do not allow this.');
  await says(page.getByRole('alert'), 'nothing-permits');
  await browser.picture(page, 'ask-not-allowed');
  await page.context().close();
  const office = await browser.window();
  await enter(office, 'x8-office');
  await says(office.getByRole('alert'), 'not for your roles');
  told('whoever may not ask, or not see, is told so in words');
  await office.context().close();
}

async function leaves(page) {
  await button(page, 'Sign out').click();
  await heading(page, 'Sign in');
  await says(page.getByRole('status'), 'You are signed out.');
  await page.reload();
  await heading(page, 'Sign in');
  holds(!(await page.content()).includes('EXERCISE'), 'something of the desk is still shown');
  told('who signs out leaves nothing on the page');
}

/** That the policy is in force, and that what it blocks is seen here: no policy at all would break nothing either. */
async function isGuarded(browser) {
  const page = await browser.window();
  await page.goto(stage.origin);
  await heading(page, 'Sign in');
  const seen = (what) => page.waitForEvent('console', (said) => said.text().includes(what)).catch(() => holds(false, `${what} is not blocked`));
  const blocked = ['img-src', 'style-src', 'TrustedHTML'].map(seen);
  await page.evaluate(() => {
    const picture = document.createElement('img');
    picture.src = 'https://elsewhere.example/';
    const styled = document.createElement('div');
    styled.setAttribute('style', 'color: red');
    document.body.append(picture, styled);
    try {
      document.body.insertAdjacentHTML('beforeend', '<b>EXERCISE</b>');
    } catch (no) {
      console.error(String(no));
    }
  });
  await Promise.all(blocked);
  told('the policy lets nothing from elsewhere in, and no markup that a script makes');
}

const browser = await Browser.start(stage);
try {
  const page = await browser.window();
  await enrols(browser, page);
  await slips(browser, page);
  await asks(browser, page);
  await sees(browser, page);
  await supervises(browser, page);
  await isRefused(browser);
  await leaves(page);
  holds(browser.faults.length === 0, `faults:\n${browser.faults.join('\n')}`);
  holds(browser.asked > 50, `${browser.asked} requests`);
  told('no page broke its policy, complained, or asked anybody but its node');
  await isGuarded(browser);
  console.log(JSON.stringify({ held, asked: browser.asked }));
} catch (no) {
  await browser.failed();
  throw no;
} finally {
  await browser.stop();
}
