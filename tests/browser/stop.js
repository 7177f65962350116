// Finds an attacker in the console, has one refusal explained, revokes the caller, and sees that it is refused from
// then on: with the pointer only, in less than a minute.
//
//   COUNTERSIGN_LOGIN=URL          the link that `countersign login` prints
//   COUNTERSIGN_ATTACKER=CALLER    who it is, such as platform/ci: what is found must be that caller
//   COUNTERSIGN_SCREENSHOTS=DIR    where pictures go; default target/screenshots of the workspace
//   COUNTERSIGN_CHROMIUM=FILE      the browser; default /usr/bin/chromium
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const { COUNTERSIGN_LOGIN: login, COUNTERSIGN_ATTACKER: attacker } = process.env;
if (!login || !attacker) {
  console.error("COUNTERSIGN_LOGIN and COUNTERSIGN_ATTACKER are not both set");
  process.exit(64);
}
const folder = process.env.COUNTERSIGN_SCREENSHOTS || fileURLToPath(new URL("../../target/screenshots", import.meta.url));
mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.COUNTERSIGN_CHROMIUM || "/usr/bin/chromium",
  // the pages are our own, and CI often runs as root in a container, where the sandbox cannot start
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const page = await browser.newPage({ viewport: { width: 1360, height: 860 } });
page.setDefaultTimeout(15_000);
const origin = new URL(login).origin;
const started = Date.now();
let clicks = 0;
/** Clicks, and waits for the page that it leads to. */
const follow = async (target, path) => {
  clicks += 1;
  await Promise.all([page.waitForURL((url) => url.pathname.startsWith(path)), target.click()]);
};
const picture = (name) => page.screenshot({ path: `${folder}/stop-${name}.png`, fullPage: true });

await page.goto(login);
await follow(page.locator("#enter"), "/");

// found: the overview lists what was refused, most frequent first
await page.waitForSelector("#refused-title");
const row = page.locator('section[aria-labelledby="refused-title"] tr', { hasText: attacker }).first();
await picture("1-found");
await follow(row.locator("a").first(), "/decisions");

// explained: one of them, step by step
await follow(page.locator("td.id a").first(), "/decisions/");
const heading = await page.locator("h1").textContent();
assert.ok(heading.includes(attacker), `the decision is about somebody else: ${heading}`);
assert.ok((await page.locator(".steps li.deny").count()) > 0, "no step says that it refused");
assert.ok((await page.locator(".change").textContent()).includes("Nothing was forwarded."));
await picture("2-explained");

// stopped
await page.getByText("Revoke this caller").click();
await page.fill("#reason", "it asks for what is none of its business");
clicks += 2;
await follow(page.locator("button.danger"), "/trust");
const revoked = await page.locator(".cards li").first().textContent();
assert.ok(revoked.includes(attacker.split("/")[1]), `somebody else is revoked: ${revoked}`);
await picture("3-stopped");

// and from then on refused for it
const after = `${origin}/decisions?caller=${encodeURIComponent(attacker)}&reason=signals.revoked`;
const until = Date.now() + 30_000;
for (;;) {
  await page.goto(after);
  if ((await page.locator("tr.deny").count()) > 0) break;
  assert.ok(Date.now() < until, "no call was refused for the revocation");
  await page.waitForTimeout(300);
}
await picture("4-refused");
await browser.close();

const seconds = (Date.now() - started) / 1000;
assert.ok(seconds < 60, `it took ${seconds} s`);
console.log(`${attacker} found, explained and stopped with ${clicks} clicks in ${seconds.toFixed(1)} s`);
