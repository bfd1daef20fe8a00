/** How many members a cluster has at most, and how many of them vote. Without schemas, for the browser as well. */

/** Each change waits for more than half of those that vote, so more would only cost; the other members have everything all the same. */
export const maxVoters = 15;
/** Decides in a command whether a node is admitted: to change it is a change of the format. */
export const maxMembers = 64;
