/**
 * The page in the hidden iframe of goog_appengine_channel.js. Apache-2.0.
 *
 * It opens and polls for the page around it, which may be of any origin, and which needs the token or the socket id
 * for that as it would without us. Answers go to the port that came from there, which nobody else can listen to.
 */
(function () {
  'use strict';

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

  window.addEventListener('message', function (event) {
    var port = event.ports && event.ports[0];
    if (event.source !== window.parent || !port) return;
    port.onmessage = function (event) {
      var number = event.data[0], path = String(event.data[1]);
      if (!allowed.test(path)) return;
      // Polls by connections of their own, beside the app's.
      (window.fetch && /^poll.*&wait=[1-9]/.test(path) ? byFetch : byXhr)(path, function (status, body, reason) {
        port.postMessage([number, status, body, reason]);
      });
    };
    port.postMessage([0]); // Here we are.
  }, false);
}());
