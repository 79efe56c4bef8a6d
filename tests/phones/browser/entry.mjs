// What the page needs of npm's packages, in one file.
import JsSIP from 'jssip';
window.JsSIP = JsSIP;
