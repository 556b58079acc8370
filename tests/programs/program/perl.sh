#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Copyright (c) The aomalloc developers
#
# Perl: hashes, strings, regular expressions, sorting, deep structures, and a fork.
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "$0")/../common.sh"
need perl
under perl

PERL_HASH_SEED=1 run perl - "$(size 1 20 4)" >result/work <<'END'
use strict;
use warnings;

my $rounds = shift;
my $state = 1;
sub pick { my $below = shift; $state = ($state * 1103515245 + 12345) % 2147483648; return int($state / 65536) % $below }

for my $round (1 .. $rounds) {
    my %count;
    my $text = join ' ', map { 'w' . pick(pick(3000) + 1) } 1 .. 60000;
    $count{$1}++ while $text =~ /(w\d+)/g;
    (my $changed = $text) =~ s/w(\d)(\d*)/$2-$1/g;
    my @best = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
    print "$round $_ $count{$_}\n" for @best[0 .. 99];
    print "$round ", length $changed, ' ', unpack('%32C*', $changed), "\n";

    my @tree;
    for (1 .. 20000) {
        my $at = \@tree;
        $at = ($at->[pick(5)] //= []) for 1 .. pick(8);
    }
    my $nodes = 0;
    my @left = (\@tree);
    while (my $node = pop @left) { $nodes++; push @left, grep { defined } @$node }
    print "$round $nodes nodes\n";

    my $buffer = '';
    $buffer .= chr(65 + pick(26)) x pick(50) for 1 .. 20000;
    print "$round ", length $buffer, ' ', unpack('%32C*', $buffer), "\n";

    my $child = open(my $pipe, '-|') // die;
    if (!$child) { print join(',', map { $_ * $_ } 1 .. 1000), "\n"; exit }
    print "$round ", <$pipe>;
    close $pipe or die;
}
END
