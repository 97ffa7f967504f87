"""A sampler of your own: any of Optuna's, or a subclass of its `BaseSampler`.

sparrow search --data FOLDER --plugin examples/own_sampler.py --sampler evolution
"""

from optuna.samplers import NSGAIISampler

from launch.study.samplers import register_sampler


@register_sampler("evolution")
def evolution(seed):
    return NSGAIISampler(seed=seed, population_size=8, mutation_prob=0.2)
