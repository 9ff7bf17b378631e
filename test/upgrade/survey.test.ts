import { expect, it } from 'vitest';
import { type SurveyReport, surveyExitCode } from '../../src/upgrade/survey.js';

const PROBLEM = {
  user: 'fred',
  folder: 'INBOX',
  file: 'one',
  code: 'MSG_NOT_REGULAR',
  message: 'This message would fail.',
};

function surveyed(change: Partial<SurveyReport>): SurveyReport {
  const nothing = { folders: 0, messages: 0, bytes: 0, warnings: 0, problems: [], problemsNotListed: 0 };
  return { dryRun: true, ...nothing, engine: 'portable', partitions: [], devices: [], ...change };
}

const device = (bytesNeeded: number) => ({
  path: '/p',
  partitions: ['primary'],
  bytesNeeded,
  bytesFree: 10,
  filesNeeded: 0,
  filesFree: null,
});

it.each([
  ['0: all would go well', { devices: [device(10)] }, 0],
  ['1: a message would fail', { problems: [PROBLEM] }, 1],
  ['4: it does not fit', { devices: [device(11)], problems: [PROBLEM] }, 4],
])('--dry-run ends as the run would with %s', (_, change, exitCode) => {
  expect(surveyExitCode(surveyed(change))).toBe(exitCode);
});
