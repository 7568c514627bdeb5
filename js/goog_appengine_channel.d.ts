/** What a page sees of the browser client, for editors and TypeScript. */
declare namespace goog.appengine {
  /** A page's end of a channel, not yet open. */
  class Channel {
    /** @param token from create_channel */
    constructor(token: string);
    /** Opens a socket with the handlers of `handler`. Throws a string if there is no document.body. */
    open(handler?: Partial<Handler> | null): Socket;
  }

  interface Handler {
    onopen(event?: {}): void;
    onmessage(message: { data: string }): void;
    onerror(error: { code: number; description: string }): void;
    onclose(event?: {}): void;
  }

  /** An open connection. Its handlers may be assigned at any time. */
  class Socket {
    private constructor();
    readyState: number;
    onopen: Handler['onopen'] | null | undefined;
    onmessage: Handler['onmessage'] | null | undefined;
    onerror: Handler['onerror'] | null | undefined;
    onclose: Handler['onclose'] | null | undefined;
    close(): void;
    /** Posts to the app's /_ah/channel/receive; false if the socket is not open. Production sent nothing. */
    send(data: string): boolean;
    static Handler: new () => Handler;
    static ReadyState: { CONNECTING: 0; OPEN: 1; CLOSING: 2; CLOSED: 3 };
    /** Where the emulator is; read by open(). */
    static BASE_URL: string;
    /** Milliseconds between short polls. */
    static POLLING_TIMEOUT_MS: number;
    /** The best that works if there is none. */
    static TRANSPORT: 'websocket' | 'xhr' | 'iframe' | 'short' | undefined;
  }
}
