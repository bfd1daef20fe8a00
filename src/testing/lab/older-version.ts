/**
 * The version that mixed-version tests call the older one: a commit of this repository. Today's has to work with it in one cluster,
 * go on with its data folder, and read its log, its snapshots and its messages (docs/decisions/0043-cluster.md, "Mixed versions").
 *
 * It is moved at each release, to the commit of the release before: that is what a running cluster has. It is not moved to make a test
 * pass, except by a change that is incompatible on purpose, before the first release; that is said in the decision.
 *
 * Until there is a release: the oldest one with today's API of joining (b33272d renamed members of it) and with `--halt-file`,
 * which the lab starts nodes with. It is of before heartbeats said terms (87cd46f, dd0da57), before several proposals went in one call
 * (5dc64ab), and before a snapshot that is half there was gone on with after a restart.
 */
export const olderCommit = "7f525b3d732774fc5df83383766fce026e5117c1";
