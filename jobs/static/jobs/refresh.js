"use strict";

/* Keeps a page fresh without taking anything from whoever uses it.

   A page asks for its parts every few seconds and takes over what differs, node by node: what is
   the same stays, with its focus, its place and what is unfolded. A part in use (text selected in
   it, a field of it typed into, a form of it open, the mouse down on it) is left alone until it is
   not. Nothing is asked while nobody looks at the page, or while it is paused. */

const STEADY_MS = 5000;
const LOG_MS = 2000;
const LONGEST_MS = 30000;
const PATIENCE_MS = 15000;
const LOG_LINES = 1000;
const PAUSED = "consolePaused";

/* Ask the server. A question of the page's own is not a sign that somebody is there: the header
   says so, and a login that is left alone ends all the same. */
async function ask(address) {
  const answer = await fetch(address, {
    headers: { "X-Console-Refresh": "1" },
    redirect: "manual",
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (answer.type === "opaqueredirect") {
    throw new Error("the login has ended, load the page anew");
  }
  if (!answer.ok) {
    throw new Error(`the server answered ${answer.status}`);
  }
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/* Text that stays the same is left as it is: somebody may be selecting it. */
function write(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/* --- Taking over what differs --- */

function keyOf(node) {
  return node.dataset?.key ?? "";
}

function isAlike(shown, fresh) {
  return shown.nodeName === fresh.nodeName && keyOf(shown) === keyOf(fresh);
}

function takeOver(shown, fresh) {
  if (shown.nodeType !== Node.ELEMENT_NODE) {
    if (shown.data !== fresh.data) {
      shown.data = fresh.data;
    }
    return;
  }
  takeOverAttributes(shown, fresh);
  takeOverChildren(shown, fresh);
}

/* What is unfolded is the visitor's. The token of a form is as good as the next one. */
function isLeft(name, element) {
  return name === "open" || (name === "value" && element.type === "hidden");
}

function takeOverAttributes(shown, fresh) {
  for (const { name } of [...shown.attributes]) {
    if (!fresh.hasAttribute(name) && !isLeft(name, shown)) {
      shown.removeAttribute(name);
    }
  }
  for (const { name, value } of fresh.attributes) {
    if (shown.getAttribute(name) !== value && !isLeft(name, shown)) {
      shown.setAttribute(name, value);
    }
  }
}

function takeOverChildren(shown, fresh) {
  const keyed = new Map([...shown.children].map((child) => [keyOf(child), child]));
  let place = shown.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const key = keyOf(wanted);
    let kept = key ? keyed.get(key) : place;
    if (!kept || !isAlike(kept, wanted)) {
      shown.insertBefore(wanted, place);
      continue;
    }
    if (kept !== place) {
      shown.insertBefore(kept, place);
    } else {
      place = place.nextSibling;
    }
    takeOver(kept, wanted);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function isInUse(part) {
  const selection = getSelection();
  const isSelected = !selection.isCollapsed && selection.containsNode(part, true);
  const isTyped = part.contains(document.activeElement)
    && document.activeElement.matches("input, select, textarea");
  return isSelected || isTyped || part.matches(":active")
    || part.querySelector("details[open] form") !== null;
}

function takeOverParts(root, answer) {
  const focused = document.activeElement;
  for (const fresh of answer.querySelectorAll("[data-part]")) {
    const shown = root.querySelector(`[data-part="${CSS.escape(fresh.dataset.part)}"]`);
    const isHeld = shown === null || isInUse(shown);
    if (!isHeld) {
      takeOver(shown, fresh);
    }
    shown?.toggleAttribute("data-held", isHeld);
  }
  if (focused.isConnected && document.activeElement !== focused) {
    focused.focus({ preventScroll: true });
  }
}

/* --- The live log --- */

class Log {
  constructor(root) {
    this.box = root.querySelector("[data-log]");
    this.list = this.box.querySelector("ol");
    this.news = root.querySelector("[data-log-new]");
    this.address = root.dataset.follow;
    this.unseen = 0;
    this.toEnd();
    this.news.addEventListener("click", () => this.toEnd());
    this.box.addEventListener("scroll", () => {
      if (this.isAtEnd()) {
        this.tell(0);
      }
    });
  }

  isAtEnd() {
    return this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 24;
  }

  toEnd() {
    this.box.scrollTop = this.box.scrollHeight;
    this.tell(0);
  }

  tell(count) {
    this.unseen = count;
    this.news.hidden = count === 0;
    write(this.news, `${count} new below`);
  }

  /* Ask for what is behind the last event; it is added once, wherever the last answer was lost. */
  async read() {
    const answer = await ask(`${this.address}&after=${this.list.dataset.reached}`);
    const piece = answer.querySelector("ol");
    const wasAtEnd = this.isAtEnd();
    const lines = [...piece.children];
    this.list.append(...lines);
    this.list.dataset.reached = piece.dataset.reached;
    if (wasAtEnd) {
      while (this.list.children.length > LOG_LINES) {
        this.list.firstElementChild.remove();
      }
      this.toEnd();
    } else if (lines.length) {
      this.tell(this.unseen + lines.length);
    }
    return piece.hasAttribute("data-full");
  }
}

/* --- Asking again and again --- */

class Fresh {
  constructor(root) {
    this.root = root;
    this.log = root.dataset.follow ? new Log(root) : null;
    this.everyMs = Number(root.dataset.every) * 1000 || (this.log ? LOG_MS : STEADY_MS);
    this.bar = root.querySelector("[data-fresh]");
    this.ageText = root.querySelector("[data-fresh-age]");
    this.problemText = root.querySelector("[data-fresh-problem]");
    this.toggle = root.querySelector("[data-fresh-toggle]");
    this.freshAt = this.dueAt = Date.now();
    this.isAsking = false;
    this.failures = 0;
    this.isPaused = sessionStorage.getItem(PAUSED) === location.pathname;
  }

  start() {
    this.dueAt += this.everyMs;
    this.toggle.hidden = false;
    this.toggle.addEventListener("click", () => this.pause(!this.isPaused));
    document.addEventListener("visibilitychange", () => this.tick());
    this.timer = setInterval(() => this.tick(), 500);
    this.show();
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    sessionStorage.setItem(PAUSED, isPaused ? location.pathname : "");
    this.dueAt = Date.now();
    this.tick();
  }

  tick() {
    if (!this.isPaused && !this.isAsking && !document.hidden && Date.now() >= this.dueAt) {
      this.refresh();
    }
    this.show();
  }

  async refresh() {
    this.isAsking = true;
    let isMore = false;
    try {
      isMore = await this.read();
      this.freshAt = Date.now();
      this.failures = 0;
      write(this.problemText, "");
    } catch (error) {
      this.failures += 1;
      const reason = error.name === "Error" ? error.message : "the server cannot be reached";
      write(this.problemText, `Cannot refresh: ${reason}. Trying again.`);
    }
    const waitMs = Math.min(this.everyMs * 2 ** this.failures, LONGEST_MS);
    this.dueAt = isMore ? Date.now() : Date.now() + (this.failures ? waitMs : this.everyMs);
    this.isAsking = false;
    this.show();
  }

  async read() {
    if (this.log) {
      return this.log.read();
    }
    takeOverParts(this.root, await ask(this.root.dataset.refresh));
    return false;
  }

  show() {
    if (this.root.querySelector("[data-settled]")) {
      clearInterval(this.timer);
      this.bar.hidden = true;
      return;
    }
    const seconds = Math.round((Date.now() - this.freshAt) / 1000);
    const age = seconds < 2 ? "just now" : `${seconds} s ago`;
    write(this.ageText, `${this.isPaused ? "Paused. " : ""}Updated ${age}`);
    write(this.toggle, this.isPaused ? "Resume updates" : "Pause updates");
  }
}

for (const root of document.querySelectorAll("[data-refresh], [data-follow]")) {
  new Fresh(root).start();
}
