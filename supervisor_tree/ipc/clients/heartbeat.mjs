/**
 * The heartbeat channel of supervisor-tree for Node.js 18 and later: one file, no dependency.
 *
 *     import { connect } from "./heartbeat.mjs";
 *
 *     const tree = connect();
 *     await listen();
 *     tree.ready();                                   // opens the gate of those who need this worker
 *     tree.beat("page 3 of 10", { done: 3 });         // shown by `supervisor-tree ctl status`
 *     tree.activity("POST_SUCCESS");
 *     tree.onCommand("reload", async (args) => reload(args));
 *
 * Once the root has said how long a silence may be, the event loop beats by itself, three times as often: a loop that
 * is blocked beats no more, and the worker is found hung. Nothing here keeps the process alive, blocks it, or throws
 * because of what the other side does; without a tree around it (no SUPERVISOR_TREE_ENDPOINT) it does nothing.
 *
 * The protocol is docs/heartbeat-protocol.md; the transport ZMTP 3.1 (https://rfc.zeromq.org/spec/37/), as a DEALER.
 */

import net from "node:net";

const PROTOCOL = 1;
/** Bytes of a message, either way. */
const MAX_MESSAGE = 64 * 1024;
/** Messages that wait for the root; one more, and the oldest is dropped. */
const HIGH_WATER = 10;
/** Milliseconds before a connection is tried again, doubled after each failure. */
const RETRY_FIRST = 10;
const RETRY_MOST = 1000;
/** Milliseconds: a connection that was open for less was no success. */
const LASTED = 1000;
/** Seconds between two beats at most. */
const INTERVAL_MOST = 10;
const MORE = 1;
const LONG = 2;
const COMMAND = 4;

const GREETING = Buffer.alloc(64);
GREETING[0] = 0xff;
GREETING[9] = 0x7f;
GREETING[10] = 3;
GREETING[11] = 1;
GREETING.write("NULL", 12, "latin1");
const READY = Buffer.from("\x05READY\x0bSocket-Type\0\0\0\x06DEALER", "latin1");

/**
 * @param {Buffer} body
 * @param {number} [flags]
 * @returns {Buffer}
 */
function frame(body, flags = 0) {
  if (body.length < 256) return Buffer.concat([Buffer.from([flags, body.length]), body]);
  const head = Buffer.alloc(9);
  head[0] = flags | LONG;
  head.writeBigUInt64BE(BigInt(body.length), 1);
  return Buffer.concat([head, body]);
}

/** A DEALER that stays connected to one ROUTER, whatever becomes of that. */
class Dealer {
  #path;
  #onOpen;
  #onMessage;
  #socket = null;
  #input = Buffer.alloc(0);
  #greeted = false;
  #inParts = false;
  #openSince = 0;
  #waiting = [];
  #failures = 0;
  #retry = null;
  #closed = false;

  /**
   * @param {string} path of the socket
   * @param {() => Buffer} onOpen makes what is sent first over each new connection
   * @param {(message: Buffer) => void} onMessage
   */
  constructor(path, onOpen, onMessage) {
    this.#path = path;
    this.#onOpen = onOpen;
    this.#onMessage = onMessage;
    this.#connect();
  }

  get isOpen() {
    return this.#openSince > 0;
  }

  /** @param {Buffer} message */
  send(message) {
    if (this.#closed) return;
    if (this.#waiting.length >= HIGH_WATER) this.#waiting.shift();
    this.#waiting.push(message);
    this.#flush();
  }

  /** Hand what waits to the system, and end for good. */
  close() {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#flush();
    this.#socket?.end();
  }

  #connect() {
    const socket = net.createConnection({ path: this.#path });
    this.#socket = socket;
    socket.unref();
    socket.on("connect", () => socket.write(GREETING));
    socket.on("data", (data) => this.#receive(socket, data));
    socket.on("drain", () => this.#flush());
    socket.on("error", () => {}); // `close` follows
    socket.on("close", () => this.#lost(socket));
  }

  #lost(socket) {
    if (socket !== this.#socket) return;
    if (this.#openSince > 0 && Date.now() - this.#openSince >= LASTED) this.#failures = 0;
    this.#socket = null;
    this.#input = Buffer.alloc(0);
    this.#greeted = this.#inParts = false;
    this.#openSince = 0;
    if (this.#closed) return;
    const pause = Math.min(RETRY_MOST, RETRY_FIRST * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    this.#retry = setTimeout(() => this.#connect(), pause);
    this.#retry.unref();
  }

  #flush() {
    // A root that does not read must not fill this process' memory: what it has not taken waits in the queue.
    while (this.isOpen && this.#waiting.length > 0 && !this.#socket.writableNeedDrain) {
      this.#socket.write(frame(this.#waiting.shift()));
    }
  }

  #receive(socket, data) {
    this.#input = this.#input.length > 0 ? Buffer.concat([this.#input, data]) : data;
    try {
      if (!this.#greeted && !this.#greet(socket)) return;
      while (this.#cut(socket));
    } catch {
      socket.destroy(); // not as we speak it: nothing after it can be understood
    }
  }

  #greet(socket) {
    const input = this.#input;
    if (input[0] !== 0xff || (input.length > 9 && (input[9] & 1) === 0)) throw new Error("no ZMTP");
    if (input.length < GREETING.length) return false;
    if (input[10] < 3 || !input.subarray(12, 32).equals(GREETING.subarray(12, 32))) throw new Error("not NULL");
    this.#input = input.subarray(GREETING.length);
    this.#greeted = true;
    socket.write(frame(READY, COMMAND));
    return true;
  }

  /** Take one frame from the buffer. */
  #cut(socket) {
    const input = this.#input;
    if (input.length < 2) return false;
    const flags = input[0];
    if (flags > (MORE | LONG | COMMAND) || (flags & (MORE | COMMAND)) === (MORE | COMMAND)) throw new Error("no frame");
    const start = flags & LONG ? 9 : 2;
    if (input.length < start) return false;
    const size = flags & LONG ? Number(input.readBigUInt64BE(1)) : input[1];
    if (size > MAX_MESSAGE) throw new Error("too long");
    if (input.length < start + size) return false;
    const body = input.subarray(start, start + size);
    this.#input = input.subarray(start + size);
    if (flags & COMMAND) this.#command(socket, body);
    else if (!this.isOpen) throw new Error("a message before READY");
    else if (flags & MORE || this.#inParts) this.#inParts = (flags & MORE) !== 0;
    else this.#onMessage(body);
    return true;
  }

  #command(socket, body) {
    const name = body.subarray(1, 1 + body[0]).toString("latin1");
    if (name === "READY" && !this.isOpen) {
      this.#openSince = Date.now();
      socket.write(frame(this.#onOpen()));
      this.#flush();
    } else if (name === "PING") {
      // Its time to live (2 bytes), then a context that the answer repeats.
      socket.write(frame(Buffer.concat([Buffer.from("\x04PONG", "latin1"), body.subarray(7, 23)]), COMMAND));
    } else if (name === "ERROR" || !this.isOpen) {
      throw new Error("refused");
    }
  }
}

/**
 * @callback CommandHandler
 * @param {Object<string, unknown>} args
 * @returns {unknown} what the one who asked is told, or a promise of it; what it throws is told, too
 */

/** This process as a worker of its tree. Made by {@link connect}. */
class Worker {
  #dealer = null;
  #identity;
  #ready = false;
  #leaving = null;
  #status = null;
  #fields = {};
  #seq = 0;
  #beating = null;
  #interval = null;
  #handlers = new Map();
  #onStop = null;

  /** @param {NodeJS.ProcessEnv} environment */
  constructor(environment) {
    const endpoint = environment.SUPERVISOR_TREE_ENDPOINT ?? "";
    this.#identity = {
      name: environment.SUPERVISOR_TREE_NAME ?? "",
      incarnation: Number(environment.SUPERVISOR_TREE_INCARNATION),
      token: environment.SUPERVISOR_TREE_TOKEN ?? "",
    };
    if (endpoint.startsWith("ipc://") && this.#identity.name !== "" && Number.isInteger(this.#identity.incarnation)) {
      this.#dealer = new Dealer(endpoint.slice("ipc://".length), () => this.#hello(), (data) => this.#hear(data));
    }
  }

  /** Whether a connection to the root is open. False for ever outside of a tree. */
  get connected() {
    return this.#dealer?.isOpen ?? false;
  }

  /** Its work can be done: opens the gate of those who need this worker (`ready = { heartbeat = true }`). */
  ready() {
    if (this.#ready) return;
    this.#ready = true;
    this.#send({ type: "ready" }); // and in each hello from now on
  }

  /**
   * Beat now, and say what is going on.
   * @param {string | null} [status] one line for `ctl status`; left out: as before
   * @param {Object<string, unknown>} [fields] figures for `ctl describe`; each stays as it is until it is given again,
   *   null takes it out
   */
  beat(status, fields) {
    if (status !== undefined && status !== null) this.#status = String(status);
    if (fields !== undefined && fields !== null) this.#fields = merged(this.#fields, fields);
    this.#seq += 1;
    const message = { type: "beat", seq: this.#seq, age: 0, status: this.#status, detail: null, fields: this.#fields };
    this.#send(message);
  }

  /**
   * Something useful has been done.
   * @param {string} name
   * @param {Object<string, unknown>} [fields]
   */
  activity(name, fields = {}) {
    this.#seq += 1;
    this.#send({ type: "activity", seq: this.#seq, age: 0, name, fields });
  }

  /**
   * It is ending by itself: no beat is awaited any more, but its end, within its `shutdown`.
   * @param {string} [reason]
   */
  goodbye(reason = "") {
    this.#leaving = reason;
    clearInterval(this.#beating);
    this.#send({ type: "goodbye", reason });
  }

  /**
   * Do something when the root commands it.
   * @param {string} name
   * @param {CommandHandler} handler
   */
  onCommand(name, handler) {
    this.#handlers.set(name, handler);
  }

  /**
   * Called when the tree asks this worker to stop. The stop signal comes, too, and ends Node where nobody handles it:
   * `process.on("SIGTERM", …)`.
   * @param {(grace: number | null) => void} handler `grace`: seconds until the kill, null: never
   */
  onStop(handler) {
    this.#onStop = handler;
  }

  /** Say nothing more. What was said before is still sent, as far as the system takes it at once. */
  close() {
    clearInterval(this.#beating);
    this.#dealer?.close();
    this.#dealer = null;
  }

  #hello() {
    const hello = {
      type: "hello",
      protocol: PROTOCOL,
      ...this.#identity,
      pid: process.pid,
      interval: this.#interval ?? INTERVAL_MOST,
      ready: this.#ready,
      status: this.#status,
      dump: null,
    };
    return encoded(hello) ?? encoded({ ...hello, status: null });
  }

  #send(message) {
    if (this.#dealer === null) return;
    const data = encoded(message) ?? encoded({ ...message, fields: {}, result: null });
    if (data !== null) this.#dealer.send(data);
  }

  /** @param {Buffer} data */
  #hear(data) {
    let message;
    try {
      message = JSON.parse(data.toString());
    } catch {
      return;
    }
    switch (message?.type) {
      case "welcome":
        this.#beatEvery(message.limit);
        if (this.#leaving !== null) this.#send({ type: "goodbye", reason: this.#leaving });
        break;
      case "who":
        this.#dealer?.send(this.#hello());
        break;
      case "ping":
        this.beat();
        break;
      case "stop":
        this.#call(() => this.#onStop?.(message.grace ?? null));
        break;
      case "command":
        this.#obey(message);
        break;
      default: // `refused`, and what a newer root may say
    }
  }

  /** @param {number | null | undefined} limit seconds of silence allowed */
  #beatEvery(limit) {
    const seconds = typeof limit === "number" ? Math.min(limit / 3, INTERVAL_MOST) : INTERVAL_MOST;
    if (seconds === this.#interval || this.#leaving !== null) return;
    const known = this.#interval !== null;
    this.#interval = seconds;
    clearInterval(this.#beating);
    this.#beating = setInterval(() => this.beat(), seconds * 1000);
    this.#beating.unref();
    if (!known) this.beat();
  }

  #obey({ id, name, args }) {
    const handler = this.#handlers.get(name);
    if (handler === undefined) {
      this.#send({ type: "reply", id, ok: false, result: null, error: `this worker knows no command ${name}` });
      return;
    }
    Promise.resolve()
      .then(() => handler(args ?? {}))
      .then(
        (result) => this.#send({ type: "reply", id, ok: true, result: result ?? null, error: null }),
        (error) => this.#send({ type: "reply", id, ok: false, result: null, error: String(error?.message ?? error) }),
      );
  }

  /** A mistake in the program's handler is said, and ends nothing. */
  #call(action) {
    try {
      action();
    } catch (error) {
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }
}

/**
 * @param {object} message
 * @returns {Buffer | null} null: it is no JSON (a circle, a BigInt), or too long
 */
function encoded(message) {
  try {
    const data = Buffer.from(JSON.stringify(message));
    return data.length <= MAX_MESSAGE ? data : null;
  } catch {
    return null;
  }
}

/** What is no JSON, or too much, changes nothing. */
function merged(before, fields) {
  const both = Object.entries({ ...before, ...fields }).filter(([, value]) => value !== null && value !== undefined);
  const after = Object.fromEntries(both);
  return encoded(after) === null ? before : after;
}

/**
 * Be a worker of the tree that this process was started by. Call it once in a process.
 * @param {NodeJS.ProcessEnv} [environment]
 * @returns {Worker}
 */
export function connect(environment = process.env) {
  return new Worker(environment);
}
