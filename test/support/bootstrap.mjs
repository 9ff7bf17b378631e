/**
 * `npm run demo` and `npm test` on a fresh clone: installs, builds, then runs. Plain JavaScript without
 * dependencies, because it runs before anything is installed.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const NODE_AT_LEAST = [20, 17];
const isRoot = process.geteuid?.() === 0;

const [task, ...rest] = process.argv.slice(2);
if (task !== 'demo' && task !== 'test') {
  console.error('usage: node test/support/bootstrap.mjs demo|test [arguments]');
  process.exit(2);
}
checkNode();
install();
build();
if (task === 'test') prepareTests();
const [what, script] =
  task === 'demo' ? ['The demonstration', ['tsx', 'test/support/demo.ts']] : ['All tests', ['vitest', 'run']];
say(what);
process.exit(run('npx', ['--no-install', ...script, ...rest]));

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > NODE_AT_LEAST[0] || (major === NODE_AT_LEAST[0] && minor >= NODE_AT_LEAST[1])) return;
  console.error(`Node ${NODE_AT_LEAST.join('.')} or newer is needed; this is ${process.versions.node}.`);
  process.exit(3);
}

/** npm ci, unless what is installed is what the lock file says. */
function install() {
  if (installed()) return say('Packages are installed');
  say('Installing packages (npm ci)');
  const status = run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']);
  if (status !== 0) stop('npm ci failed. A network or an npm cache with these packages is needed.', status);
}

/** Compares npm's own record in node_modules with package-lock.json; times of files say nothing after a clone. */
function installed() {
  const record = resolve(root, 'node_modules/.package-lock.json');
  if (!existsSync(record)) return false;
  const packages = (file) => JSON.parse(readFileSync(file, 'utf8')).packages;
  const present = packages(record);
  return Object.entries(packages(resolve(root, 'package-lock.json'))).every(
    ([path, { version, optional, devOptional, peer }]) =>
      path === '' || optional || devOptional || peer || present[path]?.version === version,
  );
}

function build() {
  say('Building the native addon (optional)');
  // Says in one line why the portable engine will be used when there is no compiler; never fails for that.
  run(process.execPath, ['native/build.mjs']);
  say('Building TypeScript');
  const status = run('npm', ['run', '-s', 'build:ts']);
  if (status !== 0) stop('TypeScript did not compile.', status);
}

/** Makes slapd available where that is ours to do, and says which tests cannot run here. */
function prepareTests() {
  if (!hasSlapd() && isRoot && existsSync('/etc/debian_version')) {
    say('Installing slapd for the directory tests (apt-get)');
    // Without a configuration the package starts no server; the tests start their own.
    run('debconf-set-selections', [], 'slapd slapd/no_configuration boolean true\n');
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    if (run('apt-get', ['update', '-qq'], undefined, env) === 0) {
      run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'slapd', 'ldap-utils'], undefined, env);
    }
  }
  const cannot = [];
  if (!hasSlapd()) cannot.push('LDAP tests: slapd is not installed (as root on Debian, npm test installs it)');
  if (!isRoot) cannot.push('tests of owners, devices, mounts and the way from root to the server account: not root');
  if (!existsSync(resolve(root, '../shared/corpus'))) cannot.push('corpus tests: ../shared/corpus is not there');
  if (!existsSync(resolve(root, 'build/Release/mailhaul.node')))
    cannot.push('native engine tests: the addon is not built');
  if (cannot.length > 0) console.log(`Skipped here:\n${cannot.map((line) => `  - ${line}`).join('\n')}`);
}

function hasSlapd() {
  return ['/usr/sbin/slapd', '/usr/local/sbin/slapd', '/usr/libexec/slapd'].some((path) => existsSync(path));
}

function say(text) {
  console.log(`\n== ${text}`);
}

function stop(text, status) {
  console.error(text);
  process.exit(status || 1);
}

/** Exit status of a command run in the project, its output passed through; 1 when it could not start. */
function run(command, args, input, env = process.env) {
  const stdin = input === undefined ? 'inherit' : 'pipe';
  const result = spawnSync(command, args, { cwd: root, env, input, stdio: [stdin, 'inherit', 'inherit'] });
  if (result.error) console.error(`${command}: ${result.error.message}`);
  return result.status ?? 1;
}
