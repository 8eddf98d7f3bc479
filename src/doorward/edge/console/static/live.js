// Renews figures on a page that works without this file by loading it again.
//
//   <div data-events="/console/door/events"> … <span data-live="people">12</span> … </div>
//   <section id="charts" data-live-part> … </section>
//
// A message is a JSON object: each key's text goes to the elements that carry it in `data-live`. Sections with
// `data-live-part` (charts, tables) are taken from a fresh copy of the page, at most every `data-live-every` seconds
// (10), while the page is looked at, nothing inside has the focus and no text in it is selected.

const root = document.querySelector("[data-events]");

function renew(figures) {
  for (const element of document.querySelectorAll("[data-live]")) {
    const value = figures[element.dataset.live];
    if (value !== undefined && element.textContent !== String(value)) element.textContent = String(value);
  }
}

function isInUse(part) {
  const selection = document.getSelection();
  return part.contains(document.activeElement) || (selection && !selection.isCollapsed && part.contains(selection.anchorNode));
}

function keepOpen(old, fresh) {
  const were = [...old.querySelectorAll("details")].map((element) => element.open);
  [...fresh.querySelectorAll("details")].forEach((element, index) => { element.open = Boolean(were[index]); });
}

async function renewParts() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live-part][id]")) {
    const other = fresh.getElementById(part.id);
    if (!other || isInUse(part)) continue;
    keepOpen(part, other);
    part.replaceChildren(...other.childNodes);
  }
}

function say(state) {
  for (const element of document.querySelectorAll("[data-live-state]")) element.hidden = element.dataset.liveState !== state;
}

if (root) {
  const source = new EventSource(root.dataset.events);
  source.addEventListener("open", () => say("live"));
  source.addEventListener("error", () => say("lost"));
  source.addEventListener("message", (event) => renew(JSON.parse(event.data)));
  const every = Math.max(2, Number(root.dataset.liveEvery) || 10);
  setInterval(() => { renewParts().catch(() => say("lost")); }, every * 1000);
}
