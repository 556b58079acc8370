/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/*
 * Binary trees are built and freed, many small ones and few deep ones, while one deep tree lives on, in one thread:
 * the benchmark binary-trees of the Computer Language Benchmarks Game, which goes back to GCBench of Ellis, Kovac and
 * Boehm (https://hboehm.info/gc/gc_bench/).
 */
#include "classic.h"

#include <stdlib.h>

enum { LEAST_DEPTH = 4, MOST_DEPTH = 17 };

struct node {
    struct node *left, *right;
};

static struct classic_tally tally;

/* NOLINTNEXTLINE(misc-no-recursion): what is measured, and no deeper than MOST_DEPTH */
static struct node *build(unsigned depth)
{
    struct node *node = malloc(sizeof(*node));
    if (node == NULL)
        classic_fail("out of memory");
    tally.blocks++;
    tally.bytes += sizeof(*node);
    node->left = depth ? build(depth - 1) : NULL;
    node->right = depth ? build(depth - 1) : NULL;
    return node;
}

/* NOLINTNEXTLINE(misc-no-recursion): as above. Returns the number of nodes. */
static uint64_t take_down(struct node *node)
{
    if (node == NULL)
        return 0;
    uint64_t nodes = 1 + take_down(node->left) + take_down(node->right);
    free(node);
    return nodes;
}

static void check(uint64_t nodes, unsigned depth)
{
    if (nodes != ((uint64_t)2 << depth) - 1)
        classic_fail("a tree has lost nodes");
}

int main(int count, char **arguments)
{
    classic_begin(count, arguments, NULL);
    struct node *long_lived = build(MOST_DEPTH);
    for (unsigned depth = LEAST_DEPTH; depth <= MOST_DEPTH; depth += 2)
        for (uint64_t i = classic_work((uint64_t)1 << (MOST_DEPTH - depth + LEAST_DEPTH)); i > 0; i--)
            check(take_down(build(depth)), depth);
    check(take_down(long_lived), MOST_DEPTH);
    classic_end("trees", &tally, 1);
    return EXIT_SUCCESS;
}
