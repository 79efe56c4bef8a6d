// One Chromium for all phones. A line of JSON each: {"id", "do", "with"} comes in, {"id", "result" | "error"} and events
// go out. `node phone.mjs`; CHROMIUM names the browser.
import { chromium } from 'playwright-core';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');
const read = (file) => readFileSync(new URL(file, import.meta.url), 'utf8');
const executablePath = process.env.CHROMIUM
  || ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path));
const browser = await chromium.launch({ executablePath, headless: true, timeout: 60000, args: [
  '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--ignore-certificate-errors',
  '--autoplay-policy=no-user-gesture-required', '--disable-background-networking', '--no-first-run',
  '--disable-features=WebRtcHideLocalIpsWithMdns,LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets'] });
const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
page.on('pageerror', (error) => say({ event: 'page', text: String(error) }));
await page.exposeFunction('tell', say);
// The page comes out of memory: localhost is a secure context, and nothing is fetched.
await page.route('**/*', (route) => route.request().url() === 'http://localhost/'
  ? route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>phone</title>' }) : route.abort());
await page.goto('http://localhost/');
await page.addScriptTag({ content: read('bundle.js') });
await page.addScriptTag({ content: read('page.js') });
say({ event: 'ready', text: browser.version() });

const lines = createInterface({ input: process.stdin });
lines.on('line', async (line) => {
  const { id, do: what, with: values } = JSON.parse(line);
  try {
    const result = await page.evaluate(([name, list]) => window.phones[name](...list), [what, values]);
    say({ id, result: result ?? null });
  } catch (error) {
    say({ id, error: String(error.message).split('\n')[0] });
  }
});
// Whoever started us has gone.
lines.on('close', async () => { await browser.close(); process.exit(0); });
