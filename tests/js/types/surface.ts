// Pages as they were written against the community's type definitions of the real script, and beyond those.
/// <reference path="../../../js/goog_appengine_channel.d.ts" />

const channel: goog.appengine.Channel = new goog.appengine.Channel('token');
const socket: goog.appengine.Socket = channel.open({
  onopen: function () {},
  onmessage: function (message) { JSON.parse(message.data); },
  onerror: function (error) { const code: number = error.code; const text: string = error.description; },
  onclose: function () {},
});
socket.onopen = () => {};
socket.onmessage = (message: any) => {};
socket.onmessage = (message: { data: string }) => {};
socket.onerror = (error: { description: string; code: number }) => {};
socket.onclose = () => {};
socket.close();

channel.open();
channel.open(new goog.appengine.Socket.Handler());
const sent: boolean = socket.send('text');
const isOpen: boolean = socket.readyState === goog.appengine.Socket.ReadyState.OPEN;
goog.appengine.Socket.BASE_URL = 'http://localhost:8080' + goog.appengine.Socket.BASE_URL;
goog.appengine.Socket.POLLING_TIMEOUT_MS = 100;
goog.appengine.Socket.TRANSPORT = 'short';
goog.appengine.Socket.TRANSPORT = 'websocket';

// @ts-expect-error A token is a string.
new goog.appengine.Channel(5);
// @ts-expect-error No such transport.
goog.appengine.Socket.TRANSPORT = 'flash';
// @ts-expect-error Only open() makes a socket.
new goog.appengine.Socket('token');
