// A web phone by JsSIP, as a page of anybody's would be. Calls have names, which the test gives.
// `listenTo`, `toneTrack` and `peers` are of lib/web_phone.py.
'use strict';

// `network`: of RTCPeerConnection, which TURN server it has to use.
const phone = {calls: {}, ringing: [], network: {}};

// Resolves when the phone is registered; rejects with why it cannot.
phone.register = (url, uri, password) => {
  const socket = new JsSIP.WebSocketInterface(url);
  phone.ua = new JsSIP.UA({sockets: [socket], uri, password});
  phone.ua.on('newRTCSession', ({originator, session}) => {
    session.on('failed', ({cause}) => { session.cause = cause; });
    if (originator == 'remote') phone.ringing.push(session);
  });
  return new Promise((registered, refused) => {
    phone.ua.on('registered', registered);
    phone.ua.on('registrationFailed', ({cause}) => refused(new Error(cause)));
    phone.ua.on('disconnected', ({code}) => refused(new Error(`closed with ${code}`)));
    phone.ua.start();
  });
};

// A tone, and with `video` the picture of a camera.
phone.media = async (hz, video) => {
  const camera = video ? await navigator.mediaDevices.getUserMedia({video}) : new MediaStream();
  return new MediaStream([toneTrack(hz), ...camera.getTracks()]);
};

phone.keep = (name, session) => {
  phone.calls[name] = session;
  listenTo(name, session.connection);
};

phone.call = async (name, uri, hz, video) => {
  phone.keep(name, phone.ua.call(
    uri, {mediaStream: await phone.media(hz, video), pcConfig: phone.network}));
};

phone.answer = async (name, hz, video) => {
  const mediaStream = await phone.media(hz, video);
  const session = phone.ringing.shift();
  session.answer({mediaStream, pcConfig: phone.network});
  phone.keep(name, session);
};

// hold, unhold, renegotiate: resolves when the other end has agreed.
phone.ask = (name, what, options = {}) => new Promise((agreed, refused) => {
  const session = phone.calls[name];
  session.on('failed', ({cause}) => refused(new Error(cause)));
  if (!session[what](options, agreed)) refused(new Error(`JsSIP is not ready to ${what}`));
});

phone.stateOf = (name) => {
  const session = phone.calls[name];
  if (session.isEnded()) return session.cause || 'ended';
  const {local, remote} = session.isOnHold();
  const held = local ? 'held by us' : remote ? 'held by the other end' : 'established';
  return session.isEstablished() ? held : 'calling';
};
