/**
 * The page in the hidden iframe of goog_appengine_channel.js, which runs here, too, for its transports. Apache-2.0.
 *
 * It opens, polls and streams for the page around it, which may be of any origin, and which needs the token or the
 * socket id for that as it would without us. byFrame() in that script says what goes over the ports.
 */
var goog = {appengine: {serveParent: function (transport) {
  'use strict';

  var channel = new MessageChannel();

  // Nothing else of this origin is for other pages to read.
  var allowed = /^(open|poll|(stream))\?[\w.~!*'()%=&-]*$/;

  channel.port1.onmessage = function (event) {
    var path = String(event.data), own = event.ports[0], asked = allowed.exec(path), carried;
    if (!asked) return;
    carried = transport(path, function (status, body, reason) {
      own.postMessage([status, body, reason]);
      own.close();
    }, asked[2] && function (text) { own.postMessage(text); });
    own.onmessage = function (event) {
      if (event.data !== null) return carried.send(event.data);
      carried.stop();
      own.close();
    };
  };
  // The page knows by the name, which it made up, that the port comes from here: frames of a sandboxed page have no
  // origin to go by, and who has that page in a frame may put another page in our place. Nobody else can listen to it.
  window.parent.postMessage(location.hash.slice(1), '*', [channel.port2]);
}}};
