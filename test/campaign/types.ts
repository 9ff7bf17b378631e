/** What every campaign is: a proof of one promise that anyone can run (docs/campaigns.md). */

export interface CampaignOptions {
  /** The whole campaign; without it a sample that fits into `.ci/run`. */
  readonly long: boolean;
  /** Everything random follows from it; a failure is repeated with the same seed. */
  readonly seed: string;
  /** Arguments after `--`, for a campaign that has more to choose. */
  readonly args: readonly string[];
  /** One line of progress. */
  log(line: string): void;
}

export interface CampaignOutcome {
  /** What was tried: kills, faults, rounds, inputs. A campaign that tried nothing has failed. */
  readonly cases: number;
  /** One sentence each: which case, what was expected, what was found, how to repeat it. */
  readonly problems: readonly string[];
  /** Lines of the result: what was measured, and what could not be tried on this machine and why. */
  readonly notes: readonly string[];
}

/** `test/campaign/<name>/campaign.ts` exports one as `campaign`. */
export interface Campaign {
  /** One line for the list. */
  readonly about: string;
  /** It compares processor times: in `all` it runs after the others, alone. */
  readonly alone?: boolean;
  /**
   * Must not throw for a defect that it finds (that is a problem). What it cannot do on this machine, such as
   * mounting without root, it says in a note.
   */
  run(options: CampaignOptions): Promise<CampaignOutcome>;
}
