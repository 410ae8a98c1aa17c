// Talk with the server, which is the authority: edits go there one after the other and come back as the new state.

const RETRY = 1500; // ms
const POLL = 1500;

export class Refused extends Error {
  constructor(status, answer) {
    super(answer.error || `the server answered ${status}`);
    this.status = status;
    this.now = answer.now;
  }
}

export async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, options);
  const text = await response.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = { error: response.status === 403 ? "This page is not valid any more: the server was started anew. Open the address that it printed." : text };
  }
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

export class Sync {
  // handlers: onState(detail), onConflict(error), onWaiting(count, lost), onChanges(changes)
  constructor(handlers) {
    this.handlers = handlers;
    this.queue = [];
    this.sending = false;
    this.number = 0;
  }

  // request is a function, so that an undo names the state that the edits before it lead to.
  send(index, request) {
    this.queue.push({ index, request, key: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` });
    this.handlers.onWaiting(this.queue.length, false);
    this.drain();
  }

  get idle() {
    return this.queue.length === 0;
  }

  async drain() {
    if (this.sending) return;
    this.sending = true;
    while (this.queue.length) {
      const { index, request, key } = this.queue[0];
      try {
        const state = await ask(`/api/micrographs/${index}/edits`, { ...request(), key });
        this.queue.shift();
        this.handlers.onState(state);
      } catch (error) {
        if (!(error instanceof Refused)) {
          this.handlers.onWaiting(this.queue.length, true);
          await new Promise((resolve) => setTimeout(resolve, RETRY));
          continue; // the same key: what was done already is not done twice
        }
        this.queue.shift();
        this.handlers.onConflict(error);
      }
      this.handlers.onWaiting(this.queue.length, false);
    }
    this.sending = false;
  }

  startPolling(number) {
    this.number = number;
    setInterval(() => document.visibilityState === "visible" && this.poll(), POLL);
    document.addEventListener("visibilitychange", () => this.poll());
  }

  async poll() {
    if (this.polling) return;
    this.polling = true;
    try {
      const changes = await ask(`/api/changes?after=${this.number}`);
      if (changes.number !== this.number) {
        this.number = changes.number;
        this.handlers.onChanges(changes);
      }
      if (this.idle) this.handlers.onWaiting(0, false);
    } catch (error) {
      if (error instanceof Refused) this.handlers.onConflict(error);
      else this.handlers.onWaiting(this.queue.length, true);
    } finally {
      this.polling = false;
    }
  }
}
