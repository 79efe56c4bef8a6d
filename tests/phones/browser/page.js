// Runs in the page: phones by name, each a JsSIP user agent. What happens to one is told as an event.
window.phones = (() => {
  const phones = {};
  const tell = (phone, event, more = {}) => window.tell({ phone, event, ...more });

  function open(name, options) {
    const socket = new JsSIP.WebSocketInterface(options.ws);
    const agent = new JsSIP.UA({ sockets: [socket], uri: options.uri, password: options.password,
      register: true, register_expires: 120, session_timers: false,
      connection_recovery_min_interval: 1, connection_recovery_max_interval: 2 });
    const phone = { agent, session: null };
    phones[name] = phone;
    agent.on('connected', () => tell(name, 'connected'));
    agent.on('disconnected', () => tell(name, 'disconnected'));
    agent.on('registered', () => tell(name, 'registered'));
    agent.on('registrationFailed', (e) => tell(name, 'refused', { text: e.cause }));
    agent.on('newMessage', (e) => {
      if (e.originator === 'remote') tell(name, 'message', { text: e.request.body });
    });
    agent.on('newRTCSession', (e) => {
      phone.session = e.session;
      const status = (x) => (x.message && x.message.status_code) || 0;
      e.session.on('failed', (x) => tell(name, 'failed', { status: status(x), text: x.cause }));
      e.session.on('ended', (x) => tell(name, 'ended', { text: x.cause }));
      e.session.on('progress', (x) => {
        if (x.originator === 'remote') tell(name, 'ringing', { status: x.response.status_code });
      });
      if (e.originator === 'remote') {
        tell(name, 'incoming', { text: e.request.from.uri.user });
      }
    });
    agent.start();
  }

  // Sound without a microphone: an oscillator.
  function sound() {
    const context = new AudioContext();
    const oscillator = context.createOscillator();
    const out = context.createMediaStreamDestination();
    oscillator.connect(out);
    oscillator.start();
    return out.stream;
  }

  return {
    open,
    call: (name, to) => { phones[name].agent.call(to, { mediaStream: sound(), pcConfig: { iceServers: [] } }); },
    refuse: (name, status) => phones[name].session.terminate({ status_code: status }),
    hangUp: (name) => phones[name].session.terminate(),
    message: (name, to, text) => new Promise((done) => phones[name].agent.sendMessage(to, text, { eventHandlers: {
      succeeded: (e) => done(e.response.status_code),
      failed: (e) => done(e.response ? e.response.status_code : 0) } })),
    close: (name) => { phones[name].agent.stop(); },
    // As when the page's machine loses power: nothing is said in SIP.
    drop: (name) => { phones[name].agent.removeAllListeners(); phones[name].agent._transport.disconnect(true); },
  };
})();
