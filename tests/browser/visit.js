// Visits every page of the console in a real browser, in light and dark: takes pictures, and fails on what axe finds,
// on errors in the browser's console and on refusals of the content security policy.
//
//   COUNTERSIGN_LOGIN=URL        the link that `countersign login` prints
//   COUNTERSIGN_SCREENSHOTS=DIR  where pictures go; default target/screenshots of the workspace
//   COUNTERSIGN_CHROMIUM=FILE    the browser; default /usr/bin/chromium
//   COUNTERSIGN_SCHEMES=light    only these colour schemes, with commas between; default light,dark
//   COUNTERSIGN_BARE=1           the installation has decided nothing yet: no decision's page is looked for
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const login = process.env.COUNTERSIGN_LOGIN;
if (!login) {
  console.error("COUNTERSIGN_LOGIN is not set: it takes the link that `countersign login` prints");
  process.exit(64);
}
const folder = process.env.COUNTERSIGN_SCREENSHOTS || fileURLToPath(new URL("../../target/screenshots", import.meta.url));
const isBare = process.env.COUNTERSIGN_BARE === "1";
const origin = new URL(login).origin;
const problems = [];
mkdirSync(folder, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.COUNTERSIGN_CHROMIUM || "/usr/bin/chromium",
  // the pages are our own, and CI often runs as root in a container, where the sandbox cannot start
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb"],
});

/** A page that writes down everything that goes wrong in it. */
const open = async (context, name) => {
  const page = await context.newPage();
  const note = (what) => problems.push(`${name.now}: ${what}`);
  page.on("console", (message) => {
    // leaving a page cuts its poll; a poll that the policy refuses is said in other words
    const isCut = message.text().includes("htmx:error: Failed to fetch");
    const isExpected = isCut || (name.expected && message.text().includes(name.expected));
    if (["error", "warning"].includes(message.type()) && !isExpected) note(`console ${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => note(`script error: ${error.message}`));
  page.on("dialog", (dialog) => {
    note(`a script opened a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(origin)) note(`asks elsewhere: ${request.url()}`);
  });
  return page;
};

/** What axe finds wrong with the page. */
const check = async (page, name) => {
  await page.evaluate(axe);
  const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  for (const violation of result.violations) {
    const where = violation.nodes.slice(0, 3).map((node) => `${node.target.join(" ")} (${node.failureSummary})`);
    problems.push(`${name}: axe ${violation.id}, ${violation.nodes.length} times: ${where.join(" | ")}`);
  }
};

const look = async (page, name, file, state) => {
  await page.mouse.move(0, 0);
  state.now = `${file} (${name})`;
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 1) problems.push(`${state.now}: the page is ${wide} px wider than the window`);
  await check(page, state.now);
  await page.screenshot({ path: `${folder}/${file}.png`, fullPage: true });
};

/** The address of the first link that a page shows for a selector. */
const first = async (page, path, selector) => {
  await page.goto(origin + path);
  const link = page.locator(selector).first();
  return (await link.count()) > 0 ? link.getAttribute("href") : null;
};

const places = {
  overview: "/",
  "overview-day": "/?span=24h",
  map: "/map",
  decisions: "/decisions",
  "decisions-denied": "/decisions?outcome=deny",
  "decisions-none": "/decisions?caller=nobody%2Fhere",
  revisions: "/revisions",
  fleet: "/fleet",
  identity: "/identity",
  trust: "/trust",
  access: "/access",
  health: "/health",
};

const state = { now: "login", expected: null };
// what moves is measured at rest
const calm = { viewport: { width: 1360, height: 860 }, colorScheme: "light", reducedMotion: "reduce" };
const context = await browser.newContext(calm);
const page = await open(context, state);

// without a session: a page that says how to get one
state.expected = "401";
await page.goto(origin + "/");
await look(page, "/", "locked", state);
state.expected = null;

// the link: its secret leaves the address, and is used by the button, not by loading the page
await page.goto(login);
await look(page, "/login", "login", state);
if (page.url().includes("#")) problems.push("login: the secret stays in the address");
await Promise.all([page.waitForURL(origin + "/"), page.click("#enter")]);

// addresses that depend on what there is
const denied = await first(page, "/decisions?outcome=deny", "td.id a");
const allowed = await first(page, "/decisions?outcome=allow", "td.id a");
const shadowed = await first(page, "/decisions?outcome=would-deny", "td.id a");
const unpermitted = await first(page, "/decisions?outcome=deny&reason=policy.no-permit", "td.id a");
if (!isBare && !denied && !allowed) problems.push("decisions: none has a page");
Object.assign(places, {
  ...(denied && { "decision-denied": denied }),
  ...(allowed && { "decision-allowed": allowed }),
  ...(shadowed && { "decision-would-deny": shadowed }),
  ...(unpermitted && { "decision-no-permit": unpermitted }),
});
const peer = await first(page, "/fleet", "table.fleet td.name a");
if (peer) places.peer = peer;
await page.goto(origin + "/access");
const route = await page.locator("#routes option").first().getAttribute("value").catch(() => null);
if (route) places["access-route"] = `/access?route=${encodeURIComponent(route)}`;

for (const colorScheme of (process.env.COUNTERSIGN_SCHEMES || "light,dark").split(",")) {
  await page.emulateMedia({ colorScheme });
  for (const [name, path] of Object.entries(places)) {
    state.now = `${name}-${colorScheme}`;
    const response = await page.goto(origin + path);
    if (response.status() !== 200) problems.push(`${state.now}: status ${response.status()}`);
    await look(page, path, `${name}-${colorScheme}`, state);
  }
}

// the live list asks again by itself, and keeps within the policy
await page.goto(origin + "/");
state.now = "live";
for (const part of ["/live", "/figures"]) {
  await page.waitForResponse((response) => new URL(response.url()).pathname === part && response.ok(), { timeout: 20_000 });
}
await check(page, state.now);

// pointing at a call on the map tells about it
await page.goto(origin + "/map");
state.now = "map, pointed at";
const edge = page.locator(".edge").first();
if ((await edge.count()) > 0) {
  await edge.focus();
  const told = await page.locator("#told").textContent();
  if (told !== (await edge.getAttribute("aria-label"))) problems.push(`map: the sentence below says ${told}`);
  await page.screenshot({ path: `${folder}/map-pointed.png` });
}

// small windows, and paper
await page.emulateMedia({ colorScheme: "light" });
await page.setViewportSize({ width: 420, height: 860 });
for (const [name, path] of [["overview", "/"], ["map", "/map"], ["fleet", "/fleet"], ["identity", "/identity"], ["revisions", "/revisions"], ...(denied ? [["decision", denied]] : [])]) {
  await page.goto(origin + path);
  await look(page, path, `${name}-narrow`, state);
}
// without scripts everything can still be read
const cookies = await context.cookies();
await context.close();
const still = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1360, height: 860 } });
await still.addCookies(cookies);
const paper = await still.newPage();
for (const [name, path] of Object.entries(places)) {
  await paper.goto(origin + path);
  const said = await paper.locator("h1").textContent();
  if (!said.trim()) problems.push(`${name} without scripts: says nothing`);
}
await still.close();
await browser.close();

const pages = Object.keys(places).length;
for (const problem of problems) console.error(problem);
console.log(`${pages} pages, ${problems.length} problems; pictures in ${folder}`);
process.exit(problems.length === 0 ? 0 : 1);
