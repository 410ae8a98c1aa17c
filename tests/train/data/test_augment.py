"""Images and their targets are augmented consistently."""

from dataclasses import replace

import torch

from cryopick.train.data.augment import Augmentation, augment

NOTHING = Augmentation(gain=(1, 1), offset=0, blur=(0, 0), smooth_rate=0, noise_rate=0, gradient_rate=0, border_rate=0)


def drawn(count=64, size=8):
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(count, 1, size, size, generator=generator)
    return images, torch.cat((images, images.square()), dim=1), generator


def test_images_and_targets_are_rotated_and_flipped_alike_in_all_eight_ways():
    images, targets, generator = drawn()
    turned, expected = augment(images.clone(), targets.clone(), settings=NOTHING, generator=generator)
    torch.testing.assert_close(expected[:, :1], turned, atol=1e-5, rtol=1e-4)
    ways = [images, images.flip(2), images.flip(3), images.flip(2, 3)]
    ways += [way.transpose(2, 3) for way in ways]
    same = torch.stack([(way - turned).abs().amax(dim=(1, 2, 3)) < 1e-4 for way in ways])
    assert (same.sum(0) == 1).all()
    assert same.any(1).all()


def test_targets_are_zero_in_streaked_borders():
    images, targets, generator = drawn(size=20)
    settings = replace(NOTHING, border_rate=1.0, border=(0.2, 0.2))
    streaked, expected = augment(images, targets + 10, settings=settings, generator=generator)
    empty = (expected == 0).all(1)
    assert empty.flatten(1).sum(1).tolist() == [4 * 20] * len(images)
    for image, mask in zip(streaked[:, 0], empty, strict=True):
        strip = image[mask].reshape(4, 20) if mask.all(1).any() else image.T[mask.T].reshape(4, 20)
        assert (strip == strip[0]).all()


def test_augmentation_is_reproducible():
    results = [augment(*drawn()[:2], settings=Augmentation(), generator=torch.Generator().manual_seed(9))[0] for _ in range(2)]
    assert torch.equal(*results)
    assert torch.isfinite(results[0]).all()
    assert not torch.equal(results[0], drawn()[0])
