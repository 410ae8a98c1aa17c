// Communication with the server, which holds the state: edits are sent one at a time and answered with the new state.

const RETRY_INTERVAL = 1500; // ms
const POLL_INTERVAL = 1500; // ms

// A request that the server answered with an error; `now` is the present state of the micrograph after a conflict.
export class RequestError extends Error {
  constructor(status, answer) {
    super(answer.error || `The server answered with status ${status}.`);
    this.status = status;
    this.now = answer.now;
  }
}

// Send a request, a POST if it has a body, and return the decoded answer.
export async function request(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, options);
  const text = await response.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = { error: response.status === 403 ? "This page has expired because the server was restarted. Open the address that it printed." : text };
  }
  if (!response.ok) throw new RequestError(response.status, answer);
  return answer;
}

export class Sync {
  // handlers: onState(detail), onRefused(error), onWaiting(count, lost), onChanges(changes)
  constructor(handlers) {
    this.handlers = handlers;
    this.queue = [];
    this.sending = false;
    this.entryCount = 0; // of the journal, as far as this page knows
  }

  // `makeBody` is called when the edits before it are done, so that an undo names the state that they led to.
  send(index, makeBody) {
    this.queue.push({ index, makeBody, key: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` });
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
      const { index, makeBody, key } = this.queue[0];
      try {
        const state = await request(`/api/micrographs/${index}/edits`, { ...makeBody(), key });
        this.queue.shift();
        this.handlers.onState(state);
      } catch (error) {
        if (!(error instanceof RequestError)) {
          this.handlers.onWaiting(this.queue.length, true);
          await new Promise((resolve) => setTimeout(resolve, RETRY_INTERVAL));
          continue; // with the same key, so that an edit that arrived is not made twice
        }
        this.queue.shift();
        this.handlers.onRefused(error);
      }
      this.handlers.onWaiting(this.queue.length, false);
    }
    this.sending = false;
  }

  startPolling(entryCount) {
    this.entryCount = entryCount;
    setInterval(() => document.visibilityState === "visible" && this.poll(), POLL_INTERVAL);
    document.addEventListener("visibilitychange", () => this.poll());
  }

  async poll() {
    if (this.polling) return;
    this.polling = true;
    try {
      const changes = await request(`/api/changes?after=${this.entryCount}`);
      if (changes.entryCount !== this.entryCount) {
        this.entryCount = changes.entryCount;
        this.handlers.onChanges(changes);
      }
      if (this.idle) this.handlers.onWaiting(0, false);
    } catch (error) {
      if (error instanceof RequestError) this.handlers.onRefused(error);
      else this.handlers.onWaiting(this.queue.length, true);
    } finally {
      this.polling = false;
    }
  }
}
