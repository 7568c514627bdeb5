/**
 * The page in the hidden iframe of goog_appengine_channel.js. Apache-2.0.
 *
 * It opens and polls for the page around it, which may be of any origin, and which needs the token or the socket id
 * for that as it would without us. Answers go through a port that the page gets, which nobody else can listen to.
 */
(function () {
  'use strict';

  var channel = new MessageChannel(), port = channel.port1;

  // Nothing else of this origin is for other pages to read.
  var allowed = /^(open|poll)\?[\w.~!*'()%=&-]*$/;

  function byFetch(path, answer) {
    fetch(path, {cache: 'no-store', credentials: 'omit'}).then(function (got) {
      return got.text().then(function (body) { answer(got.status, body, got.statusText); });
    }).then(null, function () { answer(0); });
  }

  function byXhr(path, answer) {
    var xhr = new XMLHttpRequest();
    xhr.open('GET', path, true);
    xhr.onreadystatechange = function () {
      if (xhr.readyState === 4) answer(xhr.status, xhr.responseText, xhr.statusText);
    };
    xhr.send();
  }

  port.onmessage = function (event) {
    var number = event.data[0], path = String(event.data[1]);
    if (!allowed.test(path)) return;
    // Polls by connections of their own, beside the app's.
    (window.fetch && /^poll.*&wait=[1-9]/.test(path) ? byFetch : byXhr)(path, function (status, body, reason) {
      port.postMessage([number, status, body, reason]);
    });
  };
  // The page knows by the name, which it made up, that the port comes from here: frames of a sandboxed page have no
  // origin to go by, and who has that page in a frame may put another page in our place.
  window.parent.postMessage(location.hash.slice(1), '*', [channel.port2]);
}());
