'use strict';
// A browser as puppeteer drives it, for a test that speaks JSON lines: {id, do, …} in, {id, result} or {id, error} out.
// Its tabs are real ones: all but the one in front are hidden, and their timers throttled.

const readline = require('node:readline');
const puppeteer = require('puppeteer-core');

const OF_TESTS = ['--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding', '--disable-background-timer-throttling'];
const WAIT = 60000;

const pages = new Map();
let browser;

/** Calls the page's function `source`, if it is one, else evaluates it. */
function evaluate(page, source, argument) {
  return page.evaluate((text, value) => {
    const found = (0, eval)(`(${text})`);
    return typeof found === 'function' ? found(value) : found;
  }, source, argument);
}

const commands = {
  async launch({ name, executable, flags }) {
    browser = await puppeteer.launch({
      browser: name, executablePath: executable, args: flags, headless: true, ignoreDefaultArgs: name === 'chrome' ? OF_TESTS : [],
    });
    return browser.version();
  },
  async open({ page }) {
    const opened = await browser.newPage();
    opened.setDefaultTimeout(WAIT);
    pages.set(page, opened);
  },
  async goto({ page, url }) { await pages.get(page).goto(url); },
  async reload({ page }) { await pages.get(page).reload(); },
  async close({ page }) { await pages.get(page).close({ runBeforeUnload: false }); },
  async evaluate({ page, source, argument }) { return evaluate(pages.get(page), source, argument); },
  async quit() { await browser.close(); },
};

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, ...command } = JSON.parse(line);
  let answer;
  try {
    const result = await commands[command.do](command);
    answer = { id, result: result === undefined ? null : result };
  } catch (error) {
    answer = { id, error: String(error && error.message || error) };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
  if (command.do === 'quit') process.exit(0);
});
