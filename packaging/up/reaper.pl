#!/usr/bin/perl
# Runs a daemon where process 1 does not collect orphans, as in many containers:
# libvirt waits for QEMU processes to vanish, and without this it waits in vain.
# Ends with the daemon; passes SIGTERM on to it.
use strict;
use warnings;

# prctl(PR_SET_CHILD_SUBREAPER, 1) on x86_64.
use constant { SYS_PRCTL => 157, PR_SET_CHILD_SUBREAPER => 36 };

syscall(SYS_PRCTL, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0 or die "prctl: $!\n";
my $daemon = fork() // die "fork: $!\n";
if ($daemon == 0) {
    exec @ARGV or die "$ARGV[0]: $!\n";
}
$SIG{TERM} = sub { kill 'TERM', $daemon };
$SIG{HUP} = sub { kill 'HUP', $daemon };
while (1) {
    my $ended = wait();
    exit($? >> 8) if $ended == $daemon;
    exit(1) if $ended == -1 && !$!{EINTR};
}
